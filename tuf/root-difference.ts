// What a root changes against the one before, as the change that somebody would have to ask for. Compares keys only; whether nothing
// else differs is verify-next-root.ts's to say.
import type { BaseRoleChange } from './edit-root.ts'
import type { RootMetadata } from './root.ts'

/** The base roles whose list of keys differs, with the keys of the later root, in its order. */
export function baseRoleChanges(before: RootMetadata, after: RootMetadata): readonly BaseRoleChange[] {
  return [...after.roles].flatMap(([role, { keyIds }]) =>
    before.roles.get(role)?.keyIds.join() === keyIds.join()
      ? []
      : [{ role, keys: keyIds.flatMap((keyId) => after.keys.get(keyId) ?? []) }],
  )
}
