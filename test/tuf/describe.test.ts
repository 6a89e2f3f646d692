// Differences between two versions of a targets file, as they are told.
import { expect } from 'chai'
import { describeChange, type FileMeta, type JsonValue, type TargetsMetadata } from '@countersign/tuf'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { testKey } from '../support/test-keys.ts'

function targets(change: (builder: RepositoryBuilder) => unknown = () => undefined): TargetsMetadata {
  const builder = RepositoryBuilder.withSigner().put('targets', 'a', '1').put('targets', 'b', '2')
  change(builder)
  return builder.verify().targets.metadata
}

function annotate(builder: RepositoryBuilder, custom: JsonValue): void {
  const entries = builder.role('targets').targets
  entries.set('a', new Map([...(entries.get('a') as Map<string, JsonValue>), ['custom', custom]]))
}

const NONE = { added: [], removed: [], changed: [], reordered: false, keysAdded: [], keysRemoved: [] }

describe('describeChange', () => {
  it('tells of nothing between equal files', () => {
    const { version, expiresAt, ...rest } = describeChange(targets(), targets())
    expect(rest).to.deep.equal({ put: [], moved: [], dropped: [], annotated: [], delegations: NONE })
    expect(version).to.deep.equal({ from: 1, to: 1 })
    expect(expiresAt.from).to.deep.equal(expiresAt.to)
  })

  it('tells entries put, moved and dropped, in the order of their names', () => {
    const next = targets((builder) => {
      builder.put('targets', 'z', '9').put('targets', 'c', '3').put('targets', 'b', 'new')
      builder.role('targets').targets.delete('a')
      builder.role('targets').version = 4
    })
    const change = describeChange(targets(), next)
    expect(change.put.map(({ name }) => name)).to.deep.equal(['c', 'z'])
    expect(change.moved.map(({ name, from, to }) => [name, from.length, to.length])).to.deep.equal([['b', 2, 4]])
    expect(change.dropped.map(({ name }) => name)).to.deep.equal(['a'])
    expect(change.version).to.deep.equal({ from: 1, to: 4 })
  })

  it('takes another length for another image', () => {
    const metadata = targets()
    const [[name, meta]] = [...metadata.targets] as [[string, FileMeta]]
    const longer = new Map(metadata.targets).set(name, { ...meta, length: meta.length + 1 })
    expect(describeChange(metadata, { ...metadata, targets: longer }).moved.map((move) => move.name)).to.deep.equal([
      name,
    ])
  })

  it('does not depend on the order in the files', () => {
    const metadata = targets()
    const turned = { ...metadata, targets: new Map([...metadata.targets].reverse()) }
    expect(describeChange(turned, metadata).put).to.deep.equal([])
    expect(describeChange(metadata, turned).annotated).to.deep.equal([])
  })

  it('tells all of a first version', () => {
    const change = describeChange(undefined, targets())
    expect(change.put.map(({ name }) => name)).to.deep.equal(['a', 'b'])
    expect(change.version).to.deep.equal({ to: 1 })
    expect(change.delegations.added).to.deep.equal(['targets/countersign', 'targets/releases'])
  })

  it('tells changes of custom data apart from moved entries', () => {
    const one = targets((builder) => {
      annotate(builder, 1)
    })
    const two = targets((builder) => {
      annotate(builder, 2)
    })
    for (const [from, to] of [
      [targets(), one],
      [one, two],
      [one, targets()],
    ] as const) {
      const change = describeChange(from, to)
      expect(change.annotated.map(({ name }) => name)).to.deep.equal(['a'])
      expect(change.moved).to.deep.equal([])
    }
    const none = targets((builder) => {
      annotate(builder, null)
    })
    expect(describeChange(targets(), none).annotated).to.deep.equal([])
  })

  it('tells delegations added, removed, changed and reordered', () => {
    const added = describeChange(
      targets(),
      targets((builder) => builder.delegate('targets/bob')),
    ).delegations
    expect(added).to.deep.equal({
      ...NONE,
      added: ['targets/bob'],
      keysAdded: [testKey('targets/bob').publicKey.tufKeyId],
    })
    const removed = describeChange(
      targets((builder) => builder.delegate('targets/bob')),
      targets(),
    ).delegations
    expect(removed).to.deep.equal({
      ...NONE,
      removed: ['targets/bob'],
      keysRemoved: [testKey('targets/bob').publicKey.tufKeyId],
    })
    for (const change of [
      { paths: ['v'] },
      { threshold: 2, keys: [testKey('countersign'), testKey('x')] },
      { keys: [testKey('x')] },
    ]) {
      const next = targets((builder) =>
        builder.delegate('targets/releases', { keys: [testKey('countersign')], ...change }),
      )
      expect(describeChange(targets(), next).delegations.changed, JSON.stringify(Object.keys(change))).to.deep.equal([
        'targets/releases',
      ])
    }
    const metadata = targets()
    const turned = {
      ...metadata,
      delegations: { ...metadata.delegations, roles: [...metadata.delegations.roles].reverse() },
    }
    expect(describeChange(metadata, turned).delegations).to.deep.equal({ ...NONE, reordered: true })
  })
})
