// From a signing request to what is printed and to an exit status. The status is 0 only where every image asked for is published.
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { approvalsOf } from './request-review.ts'
import type { ImageResource, SigningRequestResource } from './resources.ts'
import type { Session } from './session.ts'
import type { Colour } from './terminal.ts'

/** What was asked: without it the answer is believed as it stands (`request show --wait`). */
export interface Expected {
  readonly gun: string
  readonly tag: string
  /** 64 hex digits, where the digest was named. */
  readonly digest?: string
}

export function statusOfRequest(request: SigningRequestResource): ExitStatus {
  if (!request.isFinal) return EXIT.unfinished
  if (request.status === 'published' && request.images.every(isPublished)) return EXIT.done
  return request.status === 'denied' ? EXIT.denied : EXIT.failed
}

/** Prints the result and returns the exit status. `because` says why an unfinished request was left. */
export function reportRequest(
  session: Session,
  request: SigningRequestResource,
  because: string,
  expected: readonly Expected[] = [],
): ExitStatus {
  const { output } = session
  const status = statusOfRequest(request)
  if (status === EXIT.done) requireExpected(request, expected)
  output.document(request)
  if (status === EXIT.unfinished) {
    output.line(request.id)
    output.complain('REQUEST_NOT_FINISHED', `Request ${request.id} is ${request.status}: ${because}.`, nextOf(request))
    return status
  }
  printImages(session, request)
  for (const image of request.images.filter((each) => !isPublished(each))) {
    const { code, detail } = whyNot(image)
    output.complain(code, `${image.reference}: ${detail}`)
  }
  return status
}

function nextOf({ id, status, images }: SigningRequestResource): string {
  const follow = `Follow it with: countersign request show ${id} --wait`
  if (status !== 'awaiting-approval') return `It goes on without you. ${follow}`
  const waiting = images.find(({ decision }) => decision?.approvals !== undefined)
  return `It waits for people: ${waiting === undefined ? '' : approvalsOf(waiting)}. ${follow}`
}

function whyNot({ status, error, decision, denial }: ImageResource): {
  readonly code: string
  readonly detail: string
} {
  if (error !== undefined) return { code: error.code, detail: error.detail ?? `it ended as ${status}.` }
  if (denial !== undefined) return { code: 'REQUEST_DENIED', detail: `denied by ${denial.person}: ${denial.reason}` }
  if (status !== 'denied') return { code: 'REQUEST_NOT_PUBLISHED', detail: `it ended as ${status}.` }
  const reasons = decision?.reasons.map(({ rule, code }) => `${rule}: ${code}`) ?? []
  return { code: 'REQUEST_DENIED', detail: `denied${reasons.length > 0 ? ` (${reasons.join('; ')})` : ''}.` }
}

/** The images of a request as a table. */
export function printImages(session: Session, request: SigningRequestResource): void {
  session.output.table(
    ['STATUS', 'IMAGE', 'DIGEST', 'ROLES'],
    request.images.map((image) => [
      image.status,
      image.reference.split('@')[0] ?? image.reference,
      image.digest ?? '-',
      image.roles?.map(({ role, version }) => `${role} v${version}`).join(', ') ?? '-',
    ]),
    ([state = '']) => colourOfStatus(state),
  )
}

export function colourOfStatus(status: string): Colour | undefined {
  if (status === 'published') return 'green'
  return ['denied', 'failed', 'expired', 'withdrawn', 'partial'].includes(status) ? 'red' : undefined
}

function isPublished(image: ImageResource): boolean {
  return image.status === 'published'
}

/** "Published" must speak of what was asked, at the digest that was named: the caller reads only the exit status. */
function requireExpected(request: SigningRequestResource, expected: readonly Expected[]): void {
  for (const { gun, tag, digest } of expected) {
    const image = request.images.find((each) => each.gun === gun && each.tag === tag)
    if (image !== undefined && (digest === undefined || image.digest === `sha256:${digest}`)) continue
    throw new CliError(
      'SERVER_ANSWER_MALFORMED',
      `The answer does not say that ${gun}:${tag} was published as asked.`,
      {
        facts: { request: request.id },
        next: `Look at it with: countersign request show ${request.id}`,
      },
    )
  }
}
