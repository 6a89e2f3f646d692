// What an approver says yes to, in one digest: the request, who asked and from where, and for each image the tag, what it stands for, what
// it is to stand for, and the rules that asked for the approval. Pure.
import { createHash } from 'node:crypto'
import { imageOf, type PromotionSource, type RequestImage, type SigningRequest } from './signing-request.ts'

/** 64 hex digits. Another one means that something of this has changed. */
export function approvalDigest({ id, kind, submitter, description, images }: SigningRequest): string {
  const { actors = [], origin } = submitter
  const what = [
    'countersign approval, version 1',
    id,
    kind,
    [submitter.id, submitter.name, actors, origin === undefined ? null : Object.entries(origin).sort(byName)],
    description ?? null,
    images.map(imageParts),
  ]
  return createHash('sha256').update(JSON.stringify(what)).digest('hex')
}

function imageParts({ record }: RequestImage): readonly unknown[] {
  const { reference, gun } = record.subject
  const { tag, sha256, length, promotedFrom } = imageOf(record) ?? {}
  const decision = 'decision' in record ? record.decision : undefined
  return [
    reference,
    gun,
    tag ?? null,
    decision?.standing ?? null,
    sha256 ?? null,
    length ?? null,
    decision?.policyDigest ?? null,
    ...(promotedFrom === undefined ? [] : [sourceParts(promotedFrom)]),
  ]
}

function sourceParts({ gun, tag, sha256, role, version }: PromotionSource): readonly unknown[] {
  return ['promoted from', gun, tag, sha256, role, version]
}

function byName([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1
}
