// What every RepositoryStore must do. Run on each implementation by stores.test.ts.
import { generateKeyPairSync } from 'node:crypto'
import { parseGun, publicKeyOf, sha256Hex } from '@countersign/tuf'
import { expect } from 'chai'
import type { RepositoryStore } from '../../src/domain/ports.ts'
import { forget, type Repository } from '../../src/domain/repository.ts'
import { expectCode } from '../support/expect-code.ts'

const key = publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
const bytes = Buffer.from('{"signed":{}}\0\xff', 'latin1')

const first: Repository = {
  gun: parseGun('registry.example.com/team/app'),
  state: 'initializing',
  rootKind: 'offline',
  certificatePem: '-----BEGIN CERTIFICATE-----',
  signer: 'countersign',
  keyType: 'ecdsa',
  serverKeys: { snapshot: key, timestamp: key },
  root: { sha256: sha256Hex(bytes), bytes },
  firstFiles: new Map([
    ['root', bytes],
    ['targets/releases', bytes],
  ]),
  rootKeyIds: ['a'.repeat(64)],
  rootSigned: bytes,
  createdAt: new Date('2026-05-01T10:00:00.123Z'),
  createdBy: 'token-1',
  revision: 1,
}

export function repositoryStoreContract(open: () => RepositoryStore): void {
  let store: RepositoryStore
  beforeEach(() => {
    store = open()
  })

  it('returns what was stored', () => {
    store.create(first)
    expect(store.find(first.gun)).to.deep.equal(first)
    expect(store.find(parseGun('registry.example.com/x'))).to.equal(undefined)
  })

  it('refuses a GUN that exists', () => {
    store.create(first)
    expectCode('RECORD_EXISTS', () => {
      store.create(first)
    })
  })

  it('replaces all that may change, and leaves out what is gone', () => {
    store.create(first)
    const rest = forget(first, 'firstFiles', 'rootSigned', 'certificatePem', 'serverKeys')
    const ready: Repository = { ...rest, state: 'ready', signer: null }
    expect(store.update(ready)).to.deep.equal({ ...ready, revision: 2 })
    expect(store.find(first.gun)).to.deep.equal({ ...ready, revision: 2 })
  })

  it('writes nothing where the revision is not the one that was read', () => {
    store.create(first)
    store.update({ ...first, state: 'awaiting-root-signature' })
    expectCode('RECORD_CHANGED', () => store.update({ ...first, state: 'ready' }))
    expect(store.find(first.gun)?.state).to.equal('awaiting-root-signature')
  })

  it('forgets one with its files, and nothing where the revision is not the one that was read', () => {
    store.create(first)
    const { revision } = store.update(first)
    expectCode('RECORD_CHANGED', () => {
      store.remove(first)
    })
    expect(store.find(first.gun)?.firstFiles?.size).to.equal(2)
    store.remove({ ...first, revision })
    expect(store.find(first.gun)).to.equal(undefined)
    store.create(forget(first, 'firstFiles'))
    expect(store.find(first.gun)).not.to.have.property('firstFiles')
  })

  it('lists by GUN', () => {
    for (const name of ['r.example/b', 'r.example/a', 'R.example/c']) store.create({ ...first, gun: parseGun(name) })
    expect(store.list().map(({ gun }) => gun)).to.deep.equal(['R.example/c', 'r.example/a', 'r.example/b'])
  })
}
