// The JSON of `docker trust inspect` from a verified repository. Pure.
// Source: docker/cli v28.2.2 cli/command/trust/common.go lookupTrustInfo, inspect.go getRepoTrustInfo; notary-v1 9.6.
import { RELEASES, ROOT, type RoleName, signersOf, TARGETS, targetsOf, type TrustedRepository } from '@countersign/tuf'
import { compareNaturally } from '../domain/natural-order.ts'
import { sha256Of } from '../domain/signed-entry.ts'
import type { NamedKeys, TrustInspection } from './services.ts'

/** docker's word for a tag that no signer's own role holds. */
const NO_SIGNER = 'Repo Admin'

/** `name` is the image as it was written; with a tag only that tag is listed. */
export function inspection(repository: TrustedRepository, name: string, tag?: string): TrustInspection {
  return {
    Name: name,
    SignedTags: signedTags(repository, tag),
    Signers: signers(repository),
    AdministrativeKeys: [
      { Name: 'Root', Keys: rootKeys(repository) },
      { Name: 'Repository', Keys: baseKeys(repository, TARGETS) },
    ],
  }
}

function signedTags(repository: TrustedRepository, tag: string | undefined): TrustInspection['SignedTags'] {
  const rows = new Map<string, { SignedTag: string; Digest: string; Signers: string[] }>()
  for (const [name, digest] of [...entries(repository, RELEASES), ...entries(repository, TARGETS)]) {
    if (tag !== undefined && name !== tag) continue
    rows.set(`${name} ${digest}`, { SignedTag: name, Digest: digest, Signers: [] })
  }
  for (const row of rows.values()) {
    const roles = tag === undefined ? holders(repository, row) : signersOf(repository, tag, row.Digest)
    row.Signers.push(...roles.map(signerName))
  }
  return [...rows.values()]
    .map((row) => ({ ...row, Signers: row.Signers.length === 0 ? [NO_SIGNER] : row.Signers }))
    .sort((a, b) => compareNaturally(a.SignedTag, b.SignedTag))
}

/** In the order of docker's walk, breadth first. Without a tag it ignores the paths of delegations; with one it follows them. */
function holders(
  repository: TrustedRepository,
  { SignedTag, Digest }: { readonly SignedTag: string; readonly Digest: string },
): readonly RoleName[] {
  return [...repository.delegations.keys()]
    .filter(
      (role) =>
        role !== RELEASES &&
        entries(repository, role).some(([name, digest]) => name === SignedTag && digest === Digest),
    )
    .sort((one, other) => depthOf(one) - depthOf(other))
}

function depthOf(role: RoleName): number {
  return role.split('/').length
}

function signerName(role: RoleName): string {
  return role.replace(/^targets\//, '')
}

function entries(repository: TrustedRepository, role: RoleName): [name: string, sha256: string][] {
  const targets = targetsOf(repository, role)?.metadata.targets ?? new Map<string, never>()
  return [...targets].flatMap(([name, meta]): [string, string][] => {
    const digest = sha256Of(meta)
    return digest === undefined ? [] : [[name, digest]]
  })
}

/** Every signer that a role delegates to, published or not; names descending, as docker prints them. */
function signers({ targets, delegations }: TrustedRepository): readonly NamedKeys[] {
  const named = [targets, ...delegations.values()].flatMap(({ metadata }) => {
    const { keys, roles } = metadata.delegations
    return roles.map(({ name, keyIds }) => ({
      Name: signerName(name),
      Keys: keyIds.map((keyId) => ({ ID: keys.get(keyId)?.canonicalKeyId ?? keyId })),
    }))
  })
  return named.filter(({ Name }) => Name !== signerName(RELEASES)).sort((a, b) => (a.Name < b.Name ? 1 : -1))
}

/** docker shows the IDs of the root certificates, and of other keys the canonical IDs. */
function rootKeys({ root }: TrustedRepository): readonly { readonly ID: string }[] {
  return (root.metadata.roles.get(ROOT)?.keyIds ?? []).map((keyId) => ({ ID: keyId }))
}

function baseKeys({ root }: TrustedRepository, role: RoleName): readonly { readonly ID: string }[] {
  const keyIds = root.metadata.roles.get(role)?.keyIds ?? []
  return keyIds.map((keyId) => ({ ID: root.metadata.keys.get(keyId)?.canonicalKeyId ?? keyId }))
}
