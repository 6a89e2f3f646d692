// Two writers at one repository, interleaved in any way: of two at the same version one wins and the other gets VERSION, and what is left
// is a chain that a client verifies at every version.
import { RELEASES, ROOT, TARGETS, verifyFiles } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import type { RepositoryBuilder } from '../repository-builder.ts'
import type { Scope } from '../scope.ts'
import { filesOf, newRepository, startTestTrustServer, type Answer, type TestTrustServer } from './server.ts'

const SIGNER = 'targets/countersign'

/** So many random interleavings, one after the other, at one trust server. */
export async function interleave(scope: Scope, count: number): Promise<void> {
  const server = await startTestTrustServer(scope)
  const builder = await newRepository(server, 'registry.example.com/team/app')
  expect((await server.http.post(builder.gun, filesOf(builder, ROOT, TARGETS, RELEASES, SIGNER))).status).to.equal(200)
  const versions = new Map([RELEASES as string, SIGNER].map((role) => [role, 1]))
  let publications = 1
  const writer = (role: string, pauses: readonly number[]): (() => Promise<Answer>) => {
    const version = (versions.get(role) ?? 0) + 1
    builder.role(role).version = version
    builder.put(role, `v${version % 7}`, `${role} ${version} ${pauses.length}`)
    const files = filesOf(builder, role)
    return () => server.http.post(builder.gun, files)
  }
  const interleaving = fc.record({
    same: fc.boolean(),
    pauses: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 6 }),
  })
  await fc.assert(
    fc.asyncProperty(interleaving, async ({ same, pauses }) => {
      let at = 0
      server.signer.pause = async () => {
        for (let left = pauses[at++ % pauses.length] ?? 0; left > 0; left--)
          await new Promise((resolve) => setImmediate(resolve))
      }
      const roles = same ? [RELEASES, RELEASES] : [RELEASES, SIGNER]
      const posts = roles.map((role, index) => writer(role, pauses.slice(index)))
      const answers = await Promise.all(posts.map((post) => post()))
      const won = answers.filter(({ status }) => status === 200).length
      expect(won).to.equal(same ? 1 : 2)
      expect(answers.filter(({ code }) => code === 'VERSION').length).to.equal(2 - won)
      for (const role of new Set(roles)) versions.set(role, (versions.get(role) ?? 0) + 1)
      publications += won
    }),
    { numRuns: count },
  )
  for (let version = 1; version <= publications; version++) await verifyAt(server, builder, version)
}

/** From the timestamp of this version down to every file, as a client that came by at the time. */
async function verifyAt({ http, clock }: TestTrustServer, builder: RepositoryBuilder, version: number): Promise<void> {
  const files = new Map<string, Uint8Array>()
  const add = async (name: string, as = name): Promise<Buffer> => {
    const { status, body } = await http.get(builder.gun, name)
    expect(status, name).to.equal(200)
    files.set(as, body)
    return body
  }
  const root = await add('root.json')
  const timestamp = await add(`${version}.timestamp.json`, 'timestamp.json')
  const [snapshot] = hashesIn(timestamp)
  for (const [role, hex] of hashesIn(await add(`snapshot.${snapshot?.[1] ?? ''}.json`)))
    await add(`${role}.${hex}.json`)
  const trusted = verifyFiles(files, { gun: builder.gun, now: clock.now, pin: { kind: 'root', bytes: root } })
  expect(trusted.timestamp.metadata.version).to.equal(version)
  expect([...trusted.unusable]).to.deep.equal([])
}

function hashesIn(file: Buffer): readonly (readonly [string, string])[] {
  const { signed } = JSON.parse(file.toString()) as { signed: { meta: Record<string, { hashes: { sha256: string } }> } }
  return Object.entries(signed.meta).map(
    ([role, { hashes }]) => [role, Buffer.from(hashes.sha256, 'base64').toString('hex')] as const,
  )
}
