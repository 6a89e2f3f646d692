// What a key may sign, whatever its custody.
import { SNAPSHOT, TIMESTAMP, type RoleName } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { SigningPurpose } from './custodian.ts'
import type { StoredKey } from './key-table.ts'

/** @throws KeyHolderError KEY_NOT_FOUND */
export function requireUsable(key: StoredKey, purpose: SigningPurpose): void {
  if (key.gun !== purpose.gun) {
    throw new KeyHolderError('KEY_NOT_FOUND', 'This key belongs to another repository.', { ...purpose })
  }
  if (key.state === 'retired') {
    throw new KeyHolderError('KEY_NOT_FOUND', 'The private half of this key was destroyed.', { ...purpose })
  }
  if ((isServerRole(key.role) || isServerRole(purpose.role)) && key.role !== purpose.role) {
    throw new KeyHolderError('KEY_NOT_FOUND', 'This key belongs to another role.', { ...purpose })
  }
}

/** Keys of these roles sign nothing else, and no other key signs them. */
export function isServerRole(role: RoleName): boolean {
  return role === SNAPSHOT || role === TIMESTAMP
}
