// A repository whose delegations want two signatures, at a real notary-server: our one is not published alone.
import { createPublicKey } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  newRoot,
  newTargets,
  parseGun,
  parseRoleName,
  publicKeyOf,
  RELEASES,
  ROOT,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  type Gun,
  type PublicKey,
} from '@countersign/tuf'
import { expect } from 'chai'
import { ANONYMOUS } from '../../src/net/credentials.ts'
import { NotaryClient } from '../../src/notary/client.ts'
import { Countersign } from '../support/countersign.ts'
import { newRootKey, newSigningKey, signFile, type SigningKey } from '../support/fakes/signing-key.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { publishedFile } from '../support/peers/published.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { startScriptedRegistry, type ScriptedRegistry } from '../support/peers/scripted-registry.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const EMPTY = { mediaType: 'application/vnd.oci.empty.v1+json', digest: `sha256:${'0'.repeat(64)}`, size: 2 }
const MANIFEST = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config: EMPTY, layers: [] })
const SIGNER = parseRoleName('targets/countersign')
const YEAR_MS = 365 * 86_400_000

describe('a threshold above one', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const ca = createTestCa()
  const targetsKey = newSigningKey()
  const cosigner = newSigningKey()
  let notary: NotaryServer
  let registry: ScriptedRegistry
  let client: NotaryClient
  let countersign: Countersign
  let gun: Gun
  let ours: PublicKey

  before(async function () {
    requirePeers(this, 'notary-server')
    registry = await startScriptedRegistry(scope)
    registry.answer = () => ({ status: 200, headers: { 'content-type': MANIFEST_TYPE }, body: MANIFEST })
    notary = await startNotaryServer(scope, { ca })
    client = new NotaryClient({
      url: notary.url,
      tls: { caPem: ca.certificatePem },
      timeouts: { connectMs: 5_000, headersMs: 10_000, totalMs: 20_000 },
      tokenRealms: [],
      credentials: ANONYMOUS,
    })
    scope.add(() => client.close())
    countersign = await Countersign.start(scope, { notary, registry })
    gun = parseGun(`${registry.host}/team/two-signers`)
    const rootKey = await publishFirst()
    ours = await adopt(rootKey)
  })
  after(() => scope.close())

  async function publishFirst(): Promise<SigningKey> {
    const rootKey = newRootKey(gun)
    const root = newRoot({
      version: 1,
      expiresAt: new Date(Date.now() + YEAR_MS),
      rootKeys: [rootKey.publicKey],
      targetsKeys: [targetsKey.publicKey],
      snapshotKeys: [await client.serverKey(gun, SNAPSHOT)],
      timestampKeys: [await client.serverKey(gun, TIMESTAMP)],
    })
    await client.publish(
      gun,
      new Map([
        [ROOT, signFile(root, [rootKey])],
        [TARGETS, targetsFile(1, [])],
      ]),
    )
    return rootKey
  }

  /** Targets of the owner, who delegates to both keys with these thresholds. */
  function targetsFile(version: number, thresholds: readonly number[]): Uint8Array {
    const expiresAt = new Date(Date.now() + YEAR_MS)
    const delegations = thresholds.map((threshold, index) => ({
      name: index === 0 ? RELEASES : SIGNER,
      keys: [ours, cosigner.publicKey],
      paths: [''],
      threshold,
    }))
    return signFile(newTargets({ role: TARGETS, version, expiresAt, delegations }), [targetsKey])
  }

  async function adopt(rootKey: SigningKey): Promise<PublicKey> {
    const file = join(countersign.folder, 'cli/ours.pem')
    const folder = scope.folder('metadata')
    for (const name of [ROOT, TIMESTAMP, SNAPSHOT, TARGETS]) {
      writeFileSync(join(folder, `${name}.json`), (await publishedFile(notary, gun, `${name}.json`)) ?? '')
    }
    const from = ['--metadata', folder]
    const more = ['--operator-socket', countersign.operatorSocket, '--key-out', file]
    await countersign.must(['repo', 'adopt', gun, '--pin', rootKey.publicKey.tufKeyId, ...from, ...more])
    return publicKeyOf(createPublicKey(readFileSync(file)))
  }

  for (const [name, version, thresholds] of [
    ['of both delegations', 2, [2, 2]],
    ['of releases', 3, [2, 1]],
    ['of our own delegation', 4, [1, 2]],
  ] as const) {
    it(`${name} is refused with a code, and nothing is published`, async () => {
      await client.publish(gun, new Map([[TARGETS, targetsFile(version, thresholds)]]))
      const before = await publishedFile(notary, gun, 'timestamp.json')
      const refusal = await countersign.refusal(['sign', `${gun}:1.0`])
      expect(refusal, `${refusal.text}\n${countersign.logs()}`).to.include({
        status: 1,
        code: 'SIGNING_ROLE_UNAVAILABLE',
      })
      expect(await publishedFile(notary, gun, 'timestamp.json')).to.equal(before)
    })
  }

  it('that has gone no longer stands in the way', async () => {
    await client.publish(gun, new Map([[TARGETS, targetsFile(5, [1, 1])]]))
    const { request, text } = await countersign.request(['sign', `${gun}:1.0`])
    expect(request.status, `${text}\n${countersign.logs()}`).to.equal('published')
  })
})
