// What the outside is told of, and in which words. Pure: the text of an event is made once, in the transaction of what it tells.
import type { Gun } from '@countersign/tuf'
import type { Decision } from './decision.ts'
import {
  imageOf,
  requestStatus,
  type RequestImage,
  type RequestStatus,
  type SigningRequest,
  updatedAt,
} from './signing-request.ts'

export const WEBHOOK_EVENT_TYPES = [
  'request.waiting',
  'request.approved',
  'request.denied',
  'request.withdrawn',
  'request.expired',
  'request.published',
  'request.failed',
  'repository.frozen',
  'repository.expiring',
  'repository.foreign',
  'repository.drift',
  'repository.unsigned',
  'audit.checkpoint',
] as const
export type WebhookEventType = (typeof WEBHOOK_EVENT_TYPES)[number]

/** Sent on an operator's demand only, and never stored. */
export const PING = 'ping'

/** The event of a request that comes into a status; undefined: nobody is told. */
const EVENT_OF_STATUS: Readonly<Record<RequestStatus, WebhookEventType | undefined>> = {
  submitted: undefined,
  'awaiting-approval': 'request.waiting',
  approved: 'request.approved',
  intended: undefined,
  signed: undefined,
  publishing: undefined,
  published: 'request.published',
  denied: 'request.denied',
  withdrawn: 'request.withdrawn',
  expired: 'request.expired',
  failed: 'request.failed',
  // Not everything that was asked for is signed; the status in the event tells the two apart.
  partial: 'request.failed',
}

/** From these a request falls back to `approved` when others publish first: that is no news. */
const BEYOND_APPROVAL: readonly RequestStatus[] = ['intended', 'signed', 'publishing']

/** What a move of a request's status is told as. `from`: undefined for one that was just stored. */
export function eventOfMove(from: RequestStatus | undefined, to: RequestStatus): WebhookEventType | undefined {
  if (from === to) return undefined
  if (to === 'approved' && from !== undefined && BEYOND_APPROVAL.includes(from)) return undefined
  return EVENT_OF_STATUS[to]
}

/** An event before it is stored, which gives it its identifier. */
export interface WebhookNews {
  readonly type: WebhookEventType
  /** When it happened. */
  readonly at: Date
  /** What it is about: a request's id, a repository, a checkpoint. */
  readonly subject: string
  /** The repositories that it is about; none: it goes to every endpoint that wants the type. */
  readonly guns: readonly Gun[]
  readonly data: Readonly<Record<string, unknown>>
}

/** Bytes of images in one event; the request itself has them all. */
const MAX_IMAGES_BYTES = 48 * 1024
/** Characters of a reason that somebody wrote. */
const MAX_REASON = 1000

export function requestNews(type: WebhookEventType, request: SigningRequest): WebhookNews {
  const { id, kind, submitter, policy, createdAt, images } = request
  const shown = bounded(images.map(imageData))
  const leftOut = images.length - shown.length
  return {
    type,
    at: updatedAt(request),
    subject: id,
    guns: [...new Set(images.map(({ record }) => record.subject.gun))],
    data: {
      id,
      kind,
      status: requestStatus(images),
      createdAt: createdAt.toISOString(),
      submitter: { id: submitter.id, name: submitter.name },
      ...(policy !== undefined && { policy }),
      images: shown,
      ...(leftOut > 0 && { imagesLeftOut: leftOut }),
    },
  }
}

export function freezeNews(gun: Gun, reason: string, at: Date): WebhookNews {
  const data = { gun, reason: reason.slice(0, MAX_REASON) }
  return { type: 'repository.frozen', at, subject: gun, guns: [gun], data }
}

/** A signed checkpoint of the audit log. */
export interface LogCheckpoint {
  readonly origin: string
  readonly size: number
  readonly rootHash: string
  /** The signed note. */
  readonly checkpoint: string
}

export function checkpointNews({ origin, size, rootHash, checkpoint }: LogCheckpoint, at: Date): WebhookNews {
  return {
    type: 'audit.checkpoint',
    at,
    subject: `${size}/${rootHash}`,
    guns: [],
    data: { origin, size, rootHash, checkpoint },
  }
}

/** The text that is sent and signed; the same bytes at every attempt. */
export function webhookBody(type: WebhookEventType | typeof PING, at: Date, data: WebhookNews['data']): string {
  return JSON.stringify({ type, timestamp: at.toISOString(), data })
}

function imageData({ record }: RequestImage): object {
  const { reference, gun } = record.subject
  const { tag, sha256 } = imageOf(record) ?? {}
  return {
    reference,
    gun,
    ...(tag !== undefined && { tag }),
    ...(sha256 !== undefined && { digest: `sha256:${sha256}` }),
    status: record.status,
    ...(record.status === 'awaiting-approval' && approvalData(record.decision)),
    ...(record.status === 'failed' && { code: record.error.code }),
  }
}

/** Who is asked, so that they can be told. */
function approvalData({ approvals }: Decision): object {
  if (approvals === undefined) return {}
  const { required, from, expiresAt } = approvals
  return { approvals: { required, from, expiresAt: expiresAt.toISOString() } }
}

function bounded(images: readonly object[]): readonly object[] {
  let bytes = 0
  const end = images.findIndex((image) => (bytes += JSON.stringify(image).length + 1) > MAX_IMAGES_BYTES)
  return end < 0 ? images : images.slice(0, end)
}
