// What a request will change, for whoever has to say yes or no: tag by tag, who asked, from where, and by which rules.
import type { ImageResource, SigningRequestResource } from './resources.ts'
import type { Session } from './session.ts'

/** Prints it; nothing with --json. */
export function printReview({ output }: Session, request: SigningRequestResource): void {
  for (const [name, value] of factsOf(request)) output.line(`${`${name}:`.padEnd(15)}${value}`)
  output.line()
  output.table(
    ['IMAGE', 'NOW', 'THEN', 'APPROVALS'],
    request.images.map((image) => [
      image.reference.split('@')[0] ?? image.reference,
      short(image.decision?.standing ?? undefined, 'not signed'),
      request.kind === 'unsign' ? 'not signed' : short(image.digest ?? undefined, '-'),
      approvalsOf(image),
    ]),
  )
}

/** `1 of 2 (ann); asks group:managers until 2026-05-11T10:00:00.000Z`. */
export function approvalsOf({ decision, approvals = [] }: ImageResource): string {
  const asked = decision?.approvals
  if (asked === undefined) return 'none needed'
  const given = approvals.map(({ person }) => person).join(', ')
  const have = `${approvals.length} of ${asked.required}${given === '' ? '' : ` (${given})`}`
  const how = asked.signed === true ? ' with their keys' : ''
  return `${have}; asks ${asked.from.join(', ')}${how} until ${asked.expiresAt}`
}

function factsOf(request: SigningRequestResource): (readonly [string, string])[] {
  const { submitter, images } = request
  const who = typeof submitter === 'string' ? { id: submitter } : submitter
  const origin = 'origin' in who ? who.origin : undefined
  const policies = images.map(({ decision }) => `${decision?.project ?? '-'}/${decision?.policy ?? '-'}`)
  const facts: (readonly [string, string | undefined])[] = [
    ['Request', request.id],
    ['Kind', request.kind],
    ['Status', request.status],
    ['Submitted by', 'name' in who && who.name !== undefined ? `${who.name} (${who.id})` : who.id],
    ['Started by', 'actors' in who ? who.actors?.join(', ') : undefined],
    ['Created', request.createdAt],
    ['Description', request.description ?? undefined],
    ['Policy', [...new Set(policies)].join(', ')],
    ['Repository', origin && `${origin.repository ?? '-'} (id ${origin.repositoryId ?? '-'}) at ${origin.issuer}`],
    ['Ref', origin?.ref],
    ['Commit', origin?.commit],
    ['Workflow', origin?.workflow],
    ['Run', origin?.run],
    ['Promoted from', sourceOf(request)],
    ['Repeats', request.resubmits],
  ]
  return facts.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
}

/** `registry.example.com/staging/app:1.4@sha256:..., signed in targets/releases v7`. */
export function sourceOf({ images }: SigningRequestResource): string | undefined {
  const source = images.find(({ promotedFrom }) => promotedFrom !== undefined)?.promotedFrom
  return source && `${source.gun}:${source.tag}@${source.digest}, signed in ${source.role} v${source.version}`
}

function short(digest: string | undefined, otherwise: string): string {
  return digest ?? otherwise
}
