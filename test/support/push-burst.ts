// A burst of pushes into a real registry that tells of them, and what must have come of it: each tag signed once, and nobody else asked.
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { request } from 'undici'
import type { Countersign } from './countersign.ts'
import type { ImageMaker, PushedImage } from './peers/images.ts'
import { waitFor } from './polling.ts'

/** Of the source `main`. */
export const PUSH_SECRET = 'test-only-secret-of-the-source-main-0123456789'

/** For the daemon's configuration: tags that begin with `v-push-` or `w-push-`. The secret's file is in `secrets`. */
export function signOnPush(registry: string, gun: string) {
  const repositories = [{ gun, tags: ['v-push-*', 'w-push-*'] }]
  const source = { name: 'main', kind: 'distribution', registry, secretFile: 'etc/push.secret', repositories }
  return { sources: [source], looksPerMinute: 6000, alertAfter: '10s' }
}
export const PUSH_SECRETS = { 'push.secret': PUSH_SECRET }

/** How many are pushed at the same time. */
const PARALLEL = 8

/** Pushes tags `v-push-N` with blobs and deletions between them, every fifth again at once. */
export async function pushBurst(images: ImageMaker, name: string, count: number): Promise<readonly PushedImage[]> {
  const pushed: PushedImage[] = []
  for (let start = 0; start < count; start += PARALLEL) {
    const numbers = Array.from({ length: Math.min(PARALLEL, count - start) }, (_, index) => start + index)
    pushed.push(
      ...(await Promise.all(
        numbers.map(async (number) => {
          const image = await images.pushManifest(name, `v-push-${number}`)
          if (number % 5 === 0) await images.tag(image, image.tag)
          if (number % 10 === 3) await images.remove(await images.pushManifest(name, `x-${number}`))
          return image
        }),
      )),
    )
  }
  return pushed
}

/** Events as the registry of `images` would send them, and might have sent long ago. */
export function eventsOf(images: readonly Pick<PushedImage, 'tag' | 'sha256'>[], name: string) {
  return images.map(({ tag, sha256 }, index) => ({
    id: `late-${index}`,
    action: 'push',
    target: {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: `sha256:${sha256}`,
      repository: name,
      tag,
    },
  }))
}

export async function sendEvents(
  countersign: Pick<Countersign, 'url'>,
  events: readonly unknown[],
  secret = PUSH_SECRET,
): Promise<{ readonly status: number; readonly json: Readonly<Record<string, unknown>> }> {
  const answer = await request(`${countersign.url}/v1/events/main`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${secret}`,
      'content-type': 'application/vnd.docker.distribution.events.v1+json',
    },
    body: JSON.stringify({ events }),
  })
  return { status: answer.statusCode, json: (await answer.body.json()) as Readonly<Record<string, unknown>> }
}

/** Tags of forged events that lead to another host, into this network, or nowhere. */
export function forgedEvents(host: string) {
  const target = {
    digest: `sha256:${'a'.repeat(64)}`,
    tag: 'v-push-forged',
    url: `http://${host}/v2/team/app/manifests/x`,
  }
  const repositories = [
    `${host}/team/app`,
    'team/unregistered',
    '169.254.169.254/latest',
    `../${host}/app`,
    'localhost/app',
  ]
  return repositories.map((repository) => ({
    action: 'push',
    target: { ...target, repository, fromRepository: `${host}/app` },
    request: { host, addr: host },
    source: { addr: host },
  }))
}

/** Waits until each is signed; the list of what is not has nothing but `others` then (`TAG STATUS`), and each was asked for once. */
export async function expectSignedOnce(
  countersign: Countersign,
  gun: string,
  pushed: readonly PushedImage[],
  o: { readonly others: readonly string[]; readonly withinMs: number },
): Promise<void> {
  const ask = askerOf(countersign)
  const isSigned = async (): Promise<boolean> => {
    const text = await (await fetch(`${countersign.url}/metrics`)).text()
    if (!text.includes(`\ncountersign_pushed_unsigned_tags ${o.others.length}\n`)) return false
    const [first] = (await ask(`inspections?image=${encodeURIComponent(gun)}`)) as Inspection[]
    const signed = new Map(first?.SignedTags.map(({ SignedTag, Digest }) => [SignedTag, Digest]))
    return pushed.every(({ tag, sha256 }) => signed.get(tag) === sha256)
  }
  await waitFor('every pushed tag is signed', async () => ((await isSigned()) ? true : undefined), o.withinMs)
  const { tags } = (await ask(`repositories/${encodeURIComponent(gun)}/unsigned-tags`)) as UnsignedList
  expect(tags.map(({ tag, trouble, status = 'waiting' }) => `${tag} ${trouble ?? status}`)).to.have.members(o.others)
  const mine = new Set(pushed.map(({ reference, sha256 }) => `${reference}@sha256:${sha256}`))
  const asked = (await referencesAskedFor(ask, gun)).filter((reference) => mine.has(reference))
  expect([asked.length, new Set(asked).size], 'one request for each').to.deep.equal([mine.size, mine.size])
}

interface Inspection {
  readonly SignedTags: readonly { readonly SignedTag: string; readonly Digest: string }[]
}
interface UnsignedList {
  readonly tags: readonly { readonly tag: string; readonly status?: string; readonly trouble?: string }[]
}
interface RequestPage {
  readonly requests: readonly {
    readonly submitter: { readonly id: string }
    readonly images: readonly { readonly reference: string }[]
  }[]
  readonly nextCursor?: string
}

type Asker = (path: string) => Promise<unknown>

/** Over HTTP, as an administrator: the command line takes its time to start. */
function askerOf({ url, clientEnvironment: { COUNTERSIGN_TOKEN_FILE: file = '' } }: Countersign): Asker {
  const headers = { authorization: `Bearer ${readFileSync(file, 'utf8').trim()}` }
  return async (path) => (await fetch(`${url}/v1/${path}`, { headers })).json()
}

/** The images of all requests that the source made. */
async function referencesAskedFor(ask: Asker, gun: string): Promise<readonly string[]> {
  const found: string[] = []
  let cursor: string | undefined
  do {
    const query = new URLSearchParams({ gun, limit: '200', ...(cursor !== undefined && { cursor }) })
    const page = (await ask(`signing-requests?${query.toString()}`)) as RequestPage
    const mine = page.requests.filter(({ submitter }) => submitter.id === 'push:main')
    found.push(...mine.flatMap(({ images }) => images.map(({ reference }) => reference)))
    cursor = page.nextCursor
  } while (cursor !== undefined)
  return found
}
