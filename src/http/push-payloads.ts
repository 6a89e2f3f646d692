// What registries send when something was pushed, each in its own words: from checked JSON to claims. Members that are not read here may be
// anything: registries add some with every version, and what is refused is sent again and again.
// Sources: distribution, docs/content/about/notifications.md; goharbor.io, configure webhooks; learn.microsoft.com, container registry webhook
// reference, and container registry as an event grid source; docs.docker.com, docker hub webhooks.
import * as z from 'zod'
import type { PushClaim, PushSourceKind } from '../domain/push-event.ts'
import { faultsOf } from './body.ts'
import { HttpError } from './errors.ts'

/** Events in one delivery; distribution sends them one by one, or a few together. */
export const MAX_EVENTS = 1_000

export interface PushPayload {
  readonly claims: readonly PushClaim[]
  /** Events that are no pushes of tags: pulls, deletions, blobs, manifests without a tag. */
  readonly others: number
  /** Events that could not be read. */
  readonly malformed: number
}

const name = z.string().min(1).max(255)
const tag = z.string().min(1).max(128)
const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/)
const word = z.string().max(128)

/** One event: a claim, something else, or unreadable. */
type Reading = PushClaim | 'other' | 'malformed'

/** A delivery as a whole; each event in it is read for itself. */
interface Form {
  /** @throws HttpError BODY_INVALID */
  readonly events: (body: unknown) => readonly unknown[]
  readonly read: (event: unknown) => Reading
}

/** @throws HttpError BODY_INVALID where it is no delivery of this kind at all */
export function readPushes(kind: PushSourceKind, body: unknown): PushPayload {
  const { events, read } = FORMS[kind]
  const readings = events(body).map(read)
  return {
    claims: readings.flatMap((reading) => (typeof reading === 'string' ? [] : [reading])),
    others: readings.filter((reading) => reading === 'other').length,
    malformed: readings.filter((reading) => reading === 'malformed').length,
  }
}

// Distribution, GitLab, and Azure, whose registry sends one such event without its envelope.

const action = z.object({ action: word })
const target = z.object({
  target: z.object({ repository: name, tag: tag.optional(), digest: digest.optional() }),
})

function readRegistryEvent(event: unknown): Reading {
  const what = action.safeParse(event)
  if (!what.success) return 'malformed'
  if (what.data.action !== 'push') return 'other'
  const parsed = target.safeParse(event)
  if (!parsed.success) return 'malformed'
  const { repository, tag: pushed, digest: named } = parsed.data.target
  // Blobs, and manifests that were pushed by digest.
  if (pushed === undefined) return 'other'
  return { repository, tag: pushed, ...digestOf(named) }
}

const envelope = z.object({ events: z.array(z.unknown()).max(MAX_EVENTS) })

// Azure by way of Event Grid: a list of CloudEvents, or of Event Grid's own, around the same event.

const gridEvent = z.object({
  type: word.optional(),
  eventType: word.optional(),
  data: z.unknown(),
})

function azureEvents(body: unknown): readonly unknown[] {
  if (Array.isArray(body)) return checked(z.array(z.unknown()).max(MAX_EVENTS), body)
  checked(z.union([action, z.object({ type: word }), z.object({ eventType: word })]), body)
  return [body]
}

function readAzure(event: unknown): Reading {
  const grid = gridEvent.safeParse(event)
  const type = grid.data?.type ?? grid.data?.eventType
  if (type === undefined) return readRegistryEvent(event)
  return type === 'Microsoft.ContainerRegistry.ImagePushed' ? readRegistryEvent(grid.data?.data) : 'other'
}

// Harbor, in its own form and as CloudEvents: one delivery, a resource for each tag.

const harborData = z.object({
  resources: z.array(z.unknown()).max(MAX_EVENTS),
  repository: z.object({ repo_full_name: name }),
})
const harborOwn = z.object({ type: z.literal('PUSH_ARTIFACT'), event_data: harborData })
const harborCloud = z.object({ type: z.literal('harbor.artifact.pushed'), data: harborData })
const harborOther = z.object({ type: word })
const harborResource = z.object({
  repository: name,
  resource: z.object({ tag: z.string().max(128).optional(), digest: digest.optional() }),
})

function harborEvents(body: unknown): readonly unknown[] {
  const { type } = checked(harborOther, body)
  if (type !== 'PUSH_ARTIFACT' && type !== 'harbor.artifact.pushed') return [{ type }]
  const { resources, repository } =
    type === 'PUSH_ARTIFACT' ? checked(harborOwn, body).event_data : checked(harborCloud, body).data
  return resources.map((resource) => ({ repository: repository.repo_full_name, resource }))
}

function readHarbor(event: unknown): Reading {
  if (harborOther.safeParse(event).success) return 'other'
  const parsed = harborResource.safeParse(event)
  if (!parsed.success) return 'malformed'
  const { repository, resource } = parsed.data
  // Of an artifact without a tag Harbor says its digest in the place of one.
  if (resource.tag === undefined || resource.tag === '' || digest.safeParse(resource.tag).success) return 'other'
  return { repository, tag: resource.tag, ...digestOf(resource.digest) }
}

// Docker Hub: a push of one tag, without a digest.

const hub = z.object({
  push_data: z.object({ tag }),
  repository: z.object({ repo_name: name }),
})

function readHub(event: unknown): Reading {
  const { push_data, repository } = hub.parse(event)
  return { repository: repository.repo_name, tag: push_data.tag }
}

const FORMS: Readonly<Record<PushSourceKind, Form>> = {
  distribution: { events: (body) => checked(envelope, body).events, read: readRegistryEvent },
  azure: { events: azureEvents, read: readAzure },
  harbor: { events: harborEvents, read: readHarbor },
  'docker-hub': { events: (body) => [checked(hub, body)], read: readHub },
}

function digestOf(text: string | undefined): Pick<PushClaim, 'sha256'> {
  return text === undefined ? {} : { sha256: text.slice('sha256:'.length) }
}

function checked<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  const message = 'The body is no delivery of the kind that this source is configured for.'
  throw new HttpError('BODY_INVALID', message, { faults: faultsOf(parsed.error) })
}
