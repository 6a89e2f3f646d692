// A next root that its keys signed elsewhere: recorded, and published with targets where it gives them other keys.
import {
  attachSignatures,
  encodeCanonical,
  METADATA_LIMITS,
  parseJson,
  parsePublicKey,
  parseRoleName,
  parseRoot,
  RELEASES,
  ROOT,
  sha256Hex,
  SNAPSHOT,
  TARGETS,
  verifyNextRoot,
  type BaseRoleChange,
  type PublicKey,
} from '@countersign/tuf'
import { expect } from 'chai'
import type { OperationInput } from '../../src/key-holder-protocol/operations.ts'
import { expectCodeAsync } from '../support/expect-code.ts'
import { EVIDENCE, HeldRepository, put, TestKeyHolder } from '../support/key-holder.ts'
import { initializeOffline, nextRootOf, publishNextRoot } from '../support/offline-root.ts'
import { NOW } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { signWith, testCertificateKey, testKey } from '../support/test-keys.ts'

describe('a change of root', () => {
  let scope: Scope
  let holder: TestKeyHolder
  let repository: HeldRepository
  let publications = 0

  beforeEach(async () => {
    scope = new Scope()
    holder = await TestKeyHolder.start(scope)
    repository = await initializeOffline(holder)
  })
  afterEach(() => scope.close())

  const stageTargets = async (): Promise<PublicKey> => {
    const request = { gun: repository.gun, role: TARGETS, reason: 'yearly', evidence: EVIDENCE }
    const { response } = await holder.operator.call('stage-key', request)
    return parsePublicKey(parseJson(Buffer.from(JSON.stringify(response.key)), METADATA_LIMITS))
  }
  const request = (files: ReadonlyMap<string, Uint8Array>, publication?: string): OperationInput<'change-root'> => ({
    publication: publication ?? `root-${++publications}`,
    gun: repository.gun,
    files: [...files.keys()],
    evidence: EVIDENCE,
  })
  const change = (root: Uint8Array, publication?: string) => {
    const files = new Map([...repository.files(), ['next-root', root]])
    return repository.service.call('change-root', request(files, publication), files)
  }
  const targetsStates = async (): Promise<string[]> => {
    const { response } = await holder.operator.call('repository-status', { gun: repository.gun })
    return response.keys.filter(({ role }) => role === TARGETS).map(({ state }) => state)
  }
  const otherRoot = (): BaseRoleChange => ({ role: ROOT, keys: [successor().publicKey] })
  const successor = () => testCertificateKey('successor', { commonName: repository.gun })
  const bothKeys = () => [repository.builder.rootKey('root'), successor()]

  it('with a staged key of targets: both are published together, and the key signs from then on', async () => {
    await repository.sign([put('1.0')])
    const key = await stageTargets()
    expect(await targetsStates()).to.deep.equal(['active', 'staged'])
    const base = repository.builder.verify({ now: NOW }, repository.files())
    const changes = [{ role: TARGETS, keys: [key] }]
    const root = nextRootOf(repository, changes)
    const { response, attachments } = await change(root)
    expect(response.roles.map(({ role, version }) => [role, version])).to.deep.equal([
      [ROOT, 2],
      [TARGETS, 2],
    ])
    for (const { role, sha256 } of response.roles) expect(sha256Hex(attachments.get(role)!)).to.equal(sha256)
    verifyNextRoot(base, new Map([...attachments].map(([role, bytes]) => [parseRoleName(role), bytes])), changes)
    expect(Buffer.from(attachments.get(ROOT)!)).to.deep.equal(Buffer.from(root))

    publishNextRoot(repository, attachments)
    await repository.observe()
    expect(await targetsStates()).to.deep.equal(['replaced', 'active'])
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
    const status = await holder.operator.call('repository-status', { gun: repository.gun })
    expect(status.response.pinnedRoot).to.include({ version: 2, sha256: sha256Hex(root) })
    const record = holder.log().find(({ kind }) => kind === 'root-change')
    expect(record).to.deep.include({ gun: repository.gun, keys: [{ role: TARGETS, keys: [key.tufKeyId] }] })
    expect(record?.['root']).to.deep.include({ version: 2, sha256: sha256Hex(root) })
    expect(holder.log().map(({ kind }) => kind)).to.include.members(['root-advanced', 'key-listed', 'key-replaced'])
    await repository.sign([put('1.1')])
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0', '1.1'])
  })

  it('that leaves targets alone is recorded, and nothing is signed', async () => {
    const { response, attachments } = await change(nextRootOf(repository, [otherRoot()], bothKeys()))
    expect(response.roles.map(({ role }) => role)).to.deep.equal([ROOT])
    publishNextRoot(repository, attachments)
    await repository.observe()
    const { response: status } = await holder.operator.call('repository-status', { gun: repository.gun })
    expect(status.pinnedRoot?.certificateKeyIds).to.deep.equal([successor().publicKey.tufKeyId])
    // From here on the successor alone is enough, and the former key is nobody.
    await expectCodeAsync('ROOT_CHANGE_REFUSED', () => change(nextRootOf(repository, [])))
    await change(nextRootOf(repository, [], [successor()]))
  })

  it('again gives the same bytes; another under the same name is refused', async () => {
    const key = await stageTargets()
    const root = nextRootOf(repository, [{ role: TARGETS, keys: [key] }])
    const first = await change(root, 'once')
    expect((await change(root, 'once')).attachments).to.deep.equal(first.attachments)
    await expectCodeAsync('PUBLICATION_REPLAYED', () => change(nextRootOf(repository, []), 'once'))
    expect(holder.log().filter(({ kind }) => kind === 'root-change')).to.have.length(1)
  })

  it('a staged key of targets waits for a root: a rotation of signers does not touch it', async () => {
    await stageTargets()
    const files = repository.files()
    await expectCodeAsync('KEY_NOT_STAGED', () => repository.service.call('replace-keys', request(files), files))
  })

  describe('refuses', () => {
    const refuses = (what: string, make: () => Uint8Array, code = 'ROOT_CHANGE_REFUSED') => {
      it(`${code}: ${what}`, async () => {
        await expectCodeAsync(code, () => change(make()))
        expect(holder.log().filter(({ kind }) => kind === 'root-change')).to.deep.equal([])
        expect(holder.log().some(({ kind, code: said }) => kind === 'refused' && said === code)).to.equal(true)
      })
    }

    refuses('a root that nobody signed', () => nextRootOf(repository, [], []))
    refuses('a root of the daemon’s own making', () => nextRootOf(repository, [otherRoot()], [successor()]))
    refuses('a new root key that did not sign', () =>
      nextRootOf(repository, [otherRoot()], [repository.builder.rootKey('root')]),
    )
    refuses('the root that is published', () => repository.files().get('root.json')!)
    refuses('a version that was left out', () => {
      const { signed } = parseRoot(nextRootOf(repository, []))
      return signedRoot(new Map([...signed, ['version', 9]]))
    })
    refuses('a change that is none of keys', () => {
      const { signed } = parseRoot(nextRootOf(repository, []))
      return signedRoot(new Map([...signed, ['consistent_snapshot', true]]))
    })
    refuses(
      'keys of targets that are not here',
      () => nextRootOf(repository, [{ role: TARGETS, keys: [testKey('thief').publicKey] }]),
      'ROLE_NOT_SIGNABLE',
    )
    refuses('what is no root', () => Buffer.from('{"signed":{},"signatures":[]}'), 'OPERATION_MALFORMED')

    it('OPERATION_MALFORMED: no root at all', async () => {
      const files = repository.files()
      await expectCodeAsync('OPERATION_MALFORMED', () => repository.service.call('change-root', request(files), files))
    })

    it('REPOSITORY_FROZEN: while an operator has stopped signing', async () => {
      await holder.operator.call('freeze', { gun: repository.gun, reason: 'test', evidence: EVIDENCE })
      await expectCodeAsync('REPOSITORY_FROZEN', () => change(nextRootOf(repository, [])))
    })

    it('ROLE_NOT_SIGNABLE: a key of targets that was replaced', async () => {
      const { response } = await holder.operator.call('export-public-key', { gun: repository.gun, role: TARGETS })
      const former = parsePublicKey(parseJson(Buffer.from(JSON.stringify(response.key)), METADATA_LIMITS))
      const key = await stageTargets()
      publishNextRoot(repository, (await change(nextRootOf(repository, [{ role: TARGETS, keys: [key] }]))).attachments)
      await repository.observe()
      const back = nextRootOf(repository, [{ role: TARGETS, keys: [former] }])
      await expectCodeAsync('ROLE_NOT_SIGNABLE', () => change(back))
    })

    it('OPERATION_NOT_ON_THIS_SOCKET: staging by the daemon', async () => {
      const asked = { gun: repository.gun, role: TARGETS, reason: 'mine', evidence: EVIDENCE }
      await expectCodeAsync('OPERATION_NOT_ON_THIS_SOCKET', () => repository.service.call('stage-key', asked))
    })
  })

  it('takes other keys of the trust server’s roles', async () => {
    const snapshot = testKey('next snapshot')
    const { attachments } = await change(nextRootOf(repository, [{ role: SNAPSHOT, keys: [snapshot.publicKey] }]))
    repository.builder.role(SNAPSHOT).keys = [snapshot]
    delete repository.builder.role(SNAPSHOT).mangle
    publishNextRoot(repository, attachments)
    await repository.observe()
    await repository.sign([put('1.0')])
    expect(repository.tags(RELEASES)).to.deep.equal(['1.0'])
  })

  function signedRoot(signed: Parameters<typeof encodeCanonical>[0]): Uint8Array {
    const message = encodeCanonical(signed)
    return attachSignatures({ message }, [signWith(repository.builder.rootKey('root'), message)])
  }
})
