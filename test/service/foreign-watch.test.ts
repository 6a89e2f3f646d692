// Whoever else publishes in a repository is seen at the next look: told, recorded and diffed; and where only we could have signed, frozen.
import { editTargets, parseRoleName, parseTag, RELEASES, type RoleName, type TargetsChange } from '@countersign/tuf'
import { expect } from 'chai'
import type { ForeignVersion } from '../../src/domain/foreign-version.ts'
import type { WebhookNews } from '../../src/domain/webhook-event.ts'
import { NotaryError } from '../../src/notary/errors.ts'
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { createServices } from '../../src/service/create-services.ts'
import { SCHEMA } from '../../src/store/schema.ts'
import { SqliteSeenVersions } from '../../src/store/seen-versions.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { outcome } from '../support/fakes/held-world.ts'
import { addAlice, load, publishAs } from '../support/fakes/rival.ts'
import { signFile, type SigningKey } from '../support/fakes/signing-key.ts'
import { app, ended, everybody, World } from '../support/fakes/world.ts'
import { HostileWorld } from '../support/hostile-world.ts'
import { EVIDENCE } from '../support/key-holder.ts'

const SIGNER = parseRoleName('targets/countersign')
const ALICE = parseRoleName('targets/alice')
const put = (tag: string, letter: string): TargetsChange => ({
  kind: 'put',
  name: parseTag(tag),
  sha256: letter.repeat(64),
  length: 9,
})
const drop = (tag: string): TargetsChange => ({ kind: 'drop', name: parseTag(tag) })
const brief = ({ role, version, from, isFrozen, change }: ForeignVersion) => ({
  role,
  version,
  from,
  isFrozen,
  put: change?.put.map(({ name }) => name),
  moved: change?.moved.map(({ name }) => name),
  dropped: change?.dropped.map(({ name }) => name),
})

describe('the watch over what others publish', () => {
  describe('a rival with a key of her own', () => {
    let world: World
    let alice: SigningKey
    beforeEach(async () => {
      world = await World.withRepository()
      alice = await addAlice(world, app)
      world.registry.push(app, '1.0', 'a')
      world.registry.push(app, '2.0', 'b')
      await world.sign(`${app}:1.0`)
      await world.sign(`${app}:2.0`)
      expect(await look(), 'the first look takes everything as it is').to.deep.equal([])
    })
    afterEach(() => {
      world.close()
    })
    const look = () => world.services.foreignWatch.look(app)
    const records = () =>
      world.keyHolder.records.filter(({ kind }) => kind === 'foreign-version').map(({ facts }) => facts)

    it('is told, recorded and diffed, once', async () => {
      await publishAs(world, app, RELEASES, [put('hers', 'c'), put('1.0', 'd'), drop('2.0')], [alice])
      const [found, ...more] = await look()
      expect(more).to.deep.equal([])
      const shown = {
        role: RELEASES,
        version: 3,
        from: 2,
        isFrozen: false,
        put: ['hers'],
        moved: ['1.0'],
        dropped: ['2.0'],
      }
      expect(brief(found!)).to.deep.equal(shown)
      expect(world.observer.foreign.map(brief)).to.deep.equal([shown])
      expect(records()).to.deep.equal([
        {
          gun: app,
          role: RELEASES,
          version: 3,
          from: 2,
          sha256: found?.sha256,
          frozen: false,
          put: 1,
          moved: 1,
          dropped: 1,
          delegations: false,
          tags: 'hers 1.0 2.0',
        },
      ])
      expect(await look()).to.deep.equal([])
      expect(records()).to.have.length(1)
    })

    it('who publishes upon ours before it was read back is told, and no proof of ours names her version', async () => {
      const { server } = world
      const publish = server.publish.bind(server)
      server.publish = async (gun, files) => {
        server.publish = publish
        await publish(gun, files)
        await publishAs(world, app, RELEASES, [put('hers', 'c')], [alice])
      }
      world.registry.push(app, '3.0', 'c')
      await world.sign(`${app}:3.0`)
      const proven = world.dependencies.requests.proven(app).filter(({ role }) => role === RELEASES)
      expect(proven.map(({ version }) => version))
        .to.include(3)
        .and.not.include(4)
      expect((await look()).map(brief)).to.deep.include.members([
        { role: RELEASES, version: 4, from: 3, isFrozen: false, put: ['hers'], moved: [], dropped: [] },
      ])
    })

    it('an earlier database knows afterwards which versions were signed for us, and takes none of hers for ours', async () => {
      await publishAs(world, app, RELEASES, [put('hers', 'c')], [alice])
      // Stands there already: the request names her version.
      await world.sign(`${app}:1.0`)
      const { sqlite } = world.database
      const signed = () => sqlite.prepare('SELECT role, version FROM signed_versions ORDER BY role, version').all()
      const ours = signed()
      sqlite.exec('DELETE FROM signed_versions')
      sqlite.exec(SCHEMA.migrations[10] ?? '')
      expect(signed()).to.deep.equal(ours)
      expect(ours).to.deep.include({ role: RELEASES, version: 2 }).and.not.include({ role: RELEASES, version: 3 })
    })

    it('in a role of her own is told too, with every entry of its first version', async () => {
      await publishAs(world, app, ALICE, [put('hers', 'c')], [alice])
      const [found] = await look()
      expect(brief(found!)).to.deep.include({ role: ALICE, version: 1, from: undefined, put: ['hers'] })
    })

    it('what we publish ourselves is no news, also after a restart', async () => {
      world.registry.push(app, '3.0', 'c')
      await world.sign(`${app}:3.0`)
      expect(await look()).to.deep.equal([])
      await world.restart()
      world.registry.push(app, '4.0', 'c')
      await world.sign(`${app}:4.0`)
      expect(await look()).to.deep.equal([])
    })

    it('what came while nobody looked is found by the next process', async () => {
      await world.restart()
      await publishAs(world, app, RELEASES, [put('hers', 'c')], [alice])
      expect((await look()).map(brief)).to.have.length(1)
    })

    it('where the file from before is not there any more, the version is told without what it changed', async () => {
      await publishAs(world, app, RELEASES, [put('hers', 'c')], [alice])
      const read = world.server.read.bind(world.server)
      world.server.read = (gun, name, max) =>
        name === `2.${RELEASES}.json` ? Promise.resolve(undefined) : read(gun, name, max)
      const [found] = await look()
      expect(found).to.include({ role: RELEASES, version: 3, change: undefined })
      expect(records()[0]).not.to.have.property('put')
    })

    it('asks for one file where nothing has changed', async () => {
      await look()
      const before = world.faults.calls.length
      await look()
      expect(world.faults.calls.slice(before)).to.deep.equal(['source.read'])
    })

    for (const method of ['keyHolder.appendRecord', 'seen.noteSeen', 'keyHolder.observeRepository'] as const) {
      it(`stopped at ${method} tells it at the next look`, async () => {
        await publishAs(world, app, RELEASES, [put('hers', 'c')], [alice])
        const error = () => new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'stopped by the test')
        world.faults.plan({ method, call: 1, moment: 'before', error })
        await expectCodeAsync('KEY_HOLDER_UNREACHABLE', look)
        expect(world.observer.foreign).to.deep.equal([])
        world.faults.plan(undefined)
        expect((await look()).map(brief)).to.have.length(1)
      })
    }

    describe('superseded before anybody looked', () => {
      const publishBoth = async (hers = 'hers', ours = '3.0'): Promise<void> => {
        await publishAs(world, app, RELEASES, [put(hers, 'c')], [alice])
        world.registry.push(app, ours, 'e')
        await world.sign(`${app}:${ours}`)
      }
      const TOLD = [{ role: RELEASES, version: 3, from: 2, isFrozen: false, put: ['hers'], moved: [], dropped: [] }]

      it('is told from the repository’s own feed, and what we put upon it is not', async () => {
        world.server.feed = ['repository']
        await publishBoth()
        expect(world.server.version(app, RELEASES)).to.equal(4)
        expect((await look()).map(brief)).to.deep.equal(TOLD)
        expect(await look()).to.deep.equal([])
        expect(records()).to.have.length(1)
      })

      it('is told from what the server’s feed says, once, also to a process that was restarted in between', async () => {
        const changes = await world.server.changes(app, { scope: 'server', after: 0, records: 100 })
        await publishBoth()
        const after = await world.server.changes(app, {
          scope: 'server',
          after: changes?.at(-1)?.id ?? 0,
          records: 100,
        })
        const error = () => new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'stopped by the test')
        world.faults.plan({ method: 'seen.noteSeen', call: 2, moment: 'before', error })
        await expectCodeAsync('KEY_HOLDER_UNREACHABLE', () => world.services.foreignWatch.look(app, after))
        world.faults.plan(undefined)
        await world.restart()
        expect((await world.services.foreignWatch.look(app, after)).map(brief)).to.deep.equal([])
        expect(world.observer.foreign.map(brief)).to.deep.equal(TOLD)
      })

      it('is passed over where there is no feed, or the server has it no more', async () => {
        world.server.feed = []
        await publishBoth()
        expect(await look()).to.deep.equal([])
        world.server.feed = ['server']
        await publishBoth('again', '5.0')
        const after = await world.server.changes(app, { scope: 'server', after: 0, records: 100 })
        for (const { timestamp = '' } of after ?? [])
          world.server.serve(app, `timestamp.${timestamp}.json`, Buffer.from('{}'))
        expect(await world.services.foreignWatch.look(app, after)).to.deep.equal([])
      })

      it('many of our own in a row are no news', async () => {
        // More than the last published images, by which the daemon knows its newest versions.
        for (let count = 0; count < 20; count++) {
          const tag = `many-${count}`
          world.registry.push(app, tag, 'e')
          await world.sign(`${app}:${tag}`)
        }
        const after = await world.server.changes(app, { scope: 'server', after: 0, records: 100 })
        expect(await world.services.foreignWatch.look(app, after)).to.deep.equal([])
      })

      it('only the newest 32 states are looked at one by one', async () => {
        await publishBoth()
        const after = await world.server.changes(app, { scope: 'server', after: 0, records: 100 })
        const many = Array.from({ length: 40 }, (_, id) => ({
          id: 100 + id,
          gun: app,
          timestamp: id.toString(16).padStart(64, '0'),
        }))
        world.faults.calls.length = 0
        await world.services.foreignWatch.look(app, [...(after ?? []), ...many])
        expect(world.faults.calls.filter((call) => call === 'source.read').length).to.be.below(32 * 2 + 12)
        expect(world.observer.foreign).to.deep.equal([])
      })
    })

    it('is told as frozen where the key holder froze it: signed with our key, or by keys that are all ours', async () => {
      const thief = world.keyHolder.key(app, SIGNER)
      await publishAs(world, app, RELEASES, [put('stolen', 'e')], [thief])
      await publishAs(world, app, ALICE, [put('hers', 'c')], [alice])
      const error = () => new KeyHolderError('BASE_VERSION_NOT_OURS', 'said by the test')
      world.faults.plan({ method: 'keyHolder.observeRepository', call: 1, moment: 'before', error })
      const found = await look()
      expect(found.map(({ role, isFrozen }) => [role, isFrozen])).to.deep.equal([
        [RELEASES, true],
        [ALICE, false],
      ])
    })

    it('what we publish while a look is under way is no news', async () => {
      const { keyHolder } = world
      const { requests } = world.dependencies
      const repositoryStatus = keyHolder.repositoryStatus.bind(keyHolder)
      const proven = requests.proven(app)
      world.registry.push(app, '3.0', 'c')
      keyHolder.repositoryStatus = async (gun) => {
        const custody = await repositoryStatus(gun)
        keyHolder.repositoryStatus = repositoryStatus
        await world.sign(`${app}:3.0`)
        // As before it was read back: on the trust server, and not known to be there.
        requests.proven = () => proven
        return custody
      }
      await publishAs(world, app, ALICE, [put('hers', 'c')], [alice])
      expect((await look()).map(({ role }) => role)).to.deep.equal([ALICE])
      expect(world.server.version(app, RELEASES)).to.equal(3)
    })

    it('in a repository that has expired since is told as well', async () => {
      await publishAs(world, app, RELEASES, [put('hers', 'c')], [alice])
      world.time.advance(4 * 365 * 86_400_000)
      await expectCodeAsync('ROLE_EXPIRED', () => load(world, app))
      expect((await look()).map(({ role }) => role)).to.deep.equal([RELEASES])
    })

    it('an event is stored with what was seen', async () => {
      const told: WebhookNews[] = []
      const outbox = { isWanted: () => true, record: (news: WebhookNews) => told.push(news) }
      world.services = createServices({
        ...world.dependencies,
        seen: new SqliteSeenVersions(world.database, { ...outbox, record: (news) => void outbox.record(news) }),
      })
      await publishAs(world, app, RELEASES, [put('hers', 'c')], [alice])
      await look()
      expect(told.map(({ type, guns, data }) => [type, guns, data['put'], data['frozen']])).to.deep.equal([
        ['repository.foreign', [app], ['hers'], false],
      ])
    })
  })

  describe('a thief of a key of ours', () => {
    let hostile: HostileWorld
    beforeEach(async () => {
      hostile = await HostileWorld.start()
      await hostile.world.services.foreignWatch.look(app)
    })
    afterEach(() => hostile.close())

    async function publishStolen(role: RoleName, tag: string): Promise<void> {
      const { world } = hostile
      const key = await hostile.stealKey(SIGNER)
      const version = world.server.version(app, role) + 1
      const next = { version, expiresAt: new Date('2029-01-01T00:00:00Z') }
      const unsigned = editTargets(await load(world, app), role, [put(tag, 'e')], next)
      if (unsigned === undefined) throw new Error('The thief changes nothing.')
      await world.server.publish(app, new Map([[role, signFile(unsigned, [key])]]))
    }

    it('attack: Stolen delegation key + Notary write rights: found by one look without any request, and frozen', async () => {
      await publishStolen(RELEASES, 'evil')
      const found = await hostile.world.services.foreignWatch.look(app)
      expect(found.map(brief)).to.deep.equal([
        { ...brief(found[0]!), role: RELEASES, isFrozen: true, put: ['evil'], moved: [], dropped: [] },
      ])
      expect(await hostile.sign('next')).to.equal('failed REPOSITORY_FROZEN')
      const kinds = hostile.holder.log().map(({ kind, record }) => (kind === 'daemon-record' ? record : kind))
      expect(kinds.indexOf('repository-frozen')).to.be.greaterThan(0)
      expect(kinds.indexOf('foreign-version')).to.be.greaterThan(kinds.indexOf('repository-frozen'))
    })

    for (const when of ['before anybody looked', 'while it is frozen'] as const) {
      it(`a tag that is signed again ${when} hides no theft, and is no ground to keep it`, async () => {
        const { world, holder } = hostile
        await hostile.sign('2.0')
        await world.services.foreignWatch.look(app)
        await publishStolen(RELEASES, 'evil')
        if (when === 'before anybody looked') expect(await hostile.sign('2.0')).to.equal('published')
        expect((await world.services.foreignWatch.look(app)).map(brief)).to.have.length(1)
        if (when === 'while it is frozen') expect(await hostile.sign('2.0')).to.equal('published')
        const decision = { gun: app, reason: 'theft', evidence: EVIDENCE } as const
        await holder.operator.call('unfreeze', { ...decision, foreign: 'drop' })
        const renewed = await ended(world, (await world.services.requests.renew(everybody, app)).request)
        expect(outcome(renewed)).to.equal('published')
        await holder.operator.call('stage-key', { ...decision, role: SIGNER })
        const rotated = await ended(world, (await world.services.requests.rotate(everybody, app)).request)
        expect(outcome(rotated)).to.equal('published')
      })
    }

    it('is found in what is published now, whatever the server hides of what was published before', async () => {
      const { world } = hostile
      await publishStolen(RELEASES, 'evil')
      const told = [{ id: 1, gun: app, timestamp: 'a'.repeat(64) }]
      const hidden = (): NotaryError => new NotaryError('NOTARY_UNAVAILABLE', 'It is not shown.', {})
      world.faults.calls.length = 0
      world.faults.plan({ method: 'source.read', call: 2, moment: 'before', error: hidden })
      await expectCodeAsync('NOTARY_UNAVAILABLE', () => world.services.foreignWatch.look(app, told))
      expect((await world.dependencies.keyHolder.repositoryStatus(app)).state).to.equal('frozen')
      expect(world.observer.foreign.map(({ isFrozen }) => isFrozen)).to.deep.equal([true])
    })
  })
})
