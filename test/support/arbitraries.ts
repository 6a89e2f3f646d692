// Arbitrary repositories for property tests: names that trip JavaScript, trees of delegations, histories of changes.
import fc from 'fast-check'
import { parseTag, type TargetsChange } from '@countersign/tuf'
import { imageOf, RepositoryBuilder } from './repository-builder.ts'

/** How often a property is tried: so many times, and forty times as often in the long run (SLOW=1). */
export function runs(count: number): { numRuns: number } {
  return { numRuns: process.env['SLOW'] === '1' ? 40 * count : count }
}

/** Milliseconds that a property may take, in the long run too. */
export const PROPERTY_TIMEOUT_MS = 900_000

/** Tags; few, so that histories meet themselves, and the treacherous ones often. */
export const tags: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('1.0', '1.1', 'v1', 'v2.0', 'latest', '__proto__', 'constructor', '10', '9', 'toString', '_'),
  fc.stringMatching(/^\w[\w.-]{0,12}$/),
)

/** Contents of images; few, so that entries are put again as they are. */
export const images = fc.constantFrom('one', 'two', 'three').map(imageOf)

export const targetsChanges: fc.Arbitrary<TargetsChange> = fc.oneof(
  fc
    .record({ kind: fc.constant('put' as const), name: tags.map(parseTag), image: images })
    .map(({ image, ...rest }) => ({
      ...rest,
      ...image,
    })),
  fc.record({ kind: fc.constant('drop' as const), name: tags.map(parseTag) }),
)

/** Changes of distinct tags. */
export const changeSets: fc.Arbitrary<readonly TargetsChange[]> = fc.uniqueArray(targetsChanges, {
  selector: ({ name }) => name,
  minLength: 1,
  maxLength: 6,
})

const ROLES = ['targets/releases', 'targets/a', 'targets/b', 'targets/a/x', 'targets/a/y', 'targets/a/x/z']

/** A repository as data, so that each try and each shrunk one builds its own. */
export interface RepositoryPlan {
  readonly roles: readonly string[]
  readonly entries: readonly (readonly [role: string, tag: string, content: string])[]
  /** Roles with paths. */
  readonly restricted: readonly string[]
  readonly unpublished: readonly string[]
}

/** Trees of delegations, some restricted to paths, some not published, with entries in them. */
export const repositoryPlans: fc.Arbitrary<RepositoryPlan> = fc.record({
  roles: fc
    .subarray(ROLES)
    .map((roles) => roles.filter((role) => parentsOf(role).every((parent) => roles.includes(parent)))),
  entries: fc.array(fc.tuple(fc.constantFrom('targets', ...ROLES), tags, fc.constantFrom('one', 'two')), {
    maxLength: 12,
  }),
  restricted: fc.subarray(ROLES, { maxLength: 2 }),
  unpublished: fc.subarray(['targets/releases', 'targets/b'], { maxLength: 1 }),
})

/** Always valid. */
export function buildRepository({ roles, entries, restricted, unpublished }: RepositoryPlan): RepositoryBuilder {
  const builder = new RepositoryBuilder()
  for (const role of roles) {
    const paths = restricted.includes(role) ? ['v', '1'] : ['']
    builder.delegate(role, { paths, published: !unpublished.includes(role) })
  }
  for (const [role, tag, content] of entries) {
    if (role === 'targets' || roles.includes(role)) builder.put(role, tag, content)
  }
  return builder
}

function parentsOf(role: string): readonly string[] {
  const parts = role.split('/')
  return parts.slice(2).map((_, index) => parts.slice(0, index + 2).join('/'))
}
