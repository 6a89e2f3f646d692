// The deaths that test/survival/kill.test.ts tries at every step over a simulated server, at the few that concern a real one.
import { parseGun, parseTargets, RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import type { Step } from '../../src/key-holder/holder.ts'
import type { PublicationStep } from '../../src/service/steps.ts'
import { KillablePair } from '../support/killable-pair.ts'
import type { Kind } from '../support/killable.ts'
import { NotaryClient } from '../support/peers/notary-client.ts'
import { startNotaryServer, type NotaryServer } from '../support/peers/notary-server.ts'
import { publishedFile } from '../support/peers/published.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { Scope } from '../support/scope.ts'
import { createTestCa } from '../support/tls.ts'

describe('killed while publishing to a real notary-server', function () {
  this.timeout(60_000)
  const scope = new Scope()
  const gun = parseGun('registry.example.com/team/app')
  let notary: NotaryServer
  let pair: KillablePair

  before(async function () {
    requirePeers(this, 'notary-server', 'notary')
    notary = await startNotaryServer(scope, { ca: createTestCa() })
    pair = await KillablePair.start(scope, { trustServer: notary })
    await pair.initialize(gun)
  })
  after(() => scope.close())

  const DEATHS = [
    { of: 'daemon', step: 'signed', passing: 1, burns: 1 },
    { of: 'daemon', step: 'bytes-saved', passing: 1, burns: 0 },
    { of: 'daemon', step: 'published', passing: 1, burns: 0 },
    { of: 'daemon', step: 'read-back', passing: 1, burns: 0 },
    { of: 'key-holder', step: 'log-published', passing: 1, burns: 1 },
  ] as const satisfies readonly {
    readonly of: Kind
    readonly step: PublicationStep | Step
    passing: number
    burns: number
  }[]
  const tags: string[] = []
  let version = 1

  for (const { of, step, passing, burns } of DEATHS) {
    it(`both, the ${of} after ${step}: published once`, async () => {
      const tag = `${of}-${step}`
      const sha256 = pair.registry.pushManifest(gun, tag, tag)
      const [victim, other] = [pair.process(of), pair.process(of === 'daemon' ? 'key-holder' : 'daemon')]
      await victim.dieAt(step, passing)
      const submitted = pair.submit(gun, tag)
      expect(await victim.ended()).to.equal('SIGKILL')
      await other.kill()
      for (const kind of ['key-holder', 'daemon'] as const satisfies readonly Kind[]) await pair.startAgain(kind)
      expect((await pair.finished((await submitted).id)).status).to.equal('published')

      tags.push(tag)
      version += 1 + burns
      const text = (await publishedFile(notary, gun, 'targets/releases.json')) ?? ''
      expect(parseTargets(Buffer.from(text), RELEASES).metadata.version).to.equal(version)
      const listed = await new NotaryClient(scope, { notary }).list(gun, RELEASES)
      expect(listed.map(({ name }) => name)).to.have.members(tags)
      expect(listed.find(({ name }) => name === tag)?.sha256).to.equal(sha256)
    })
  }
})
