// What is published of a repository, as requests and records name it.
import { ROOT, type RoleName, targetsOf, type TrustedRepository } from '@countersign/tuf'
import type { RoleVersion } from './signing-request.ts'

/** Version and hash of each of these roles that is published: root, or a targets role. */
export function roleVersions(repository: TrustedRepository, roles: readonly RoleName[]): readonly RoleVersion[] {
  return roles.flatMap((role) => {
    const received = role === ROOT ? repository.root : targetsOf(repository, role)
    return received === undefined ? [] : [{ role, version: received.metadata.version, sha256: received.sha256 }]
  })
}
