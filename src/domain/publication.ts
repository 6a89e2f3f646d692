// One new version of one or more roles of one repository: what it declares, and the bytes once they are signed. Pure.
import type { Gun, RoleName, TargetsChange, TufKeyId } from '@countersign/tuf'
import type { SignedApproval } from './signed-approval.ts'
import type { RequestKind, RoleVersion } from './signing-request.ts'

export interface Evidence {
  readonly request: string
  readonly principal: string
  readonly decision?: string
  readonly origin?: string
}

export interface DeclaredChange {
  readonly change: TargetsChange
  readonly evidence: Evidence
  /** By keys that the key holder knows; it checks them again. */
  readonly approvals?: readonly SignedApproval[]
}

/** One key that gives its place to another: canonical IDs. */
export interface KeyChange {
  readonly from: TufKeyId
  readonly to: TufKeyId
}

export interface SignedRole {
  readonly role: RoleName
  readonly version: number
  readonly sha256: string
  readonly bytes: Uint8Array
  /** The earlier file of ours whose content it has, where the key holder did not carry on what was published. */
  readonly restored?: Uint8Array
}

/** Stored before anything is signed. Its state is that of the images that name it. */
export interface Publication {
  /** The idempotency key toward the key holder; at most 64 characters. */
  readonly id: string
  readonly gun: Gun
  readonly kind: RequestKind
  readonly roles: readonly RoleName[]
  readonly changes: readonly DeclaredChange[]
  /** Of a rotation, which changes no entry. */
  readonly keys?: { readonly changes: readonly KeyChange[]; readonly evidence: Evidence }
  /** Of a renewal, which changes nothing but expiry dates: afterwards they lie behind `until`. */
  readonly renewal?: { readonly until: Date; readonly evidence: Evidence }
  /** Of a repair, which changes nothing but expiry dates that have passed. */
  readonly repair?: { readonly evidence: Evidence }
  /** Of a change of root: the file that its keys signed, base64. Targets come with it where they get other keys. */
  readonly root?: {
    readonly file: string
    readonly evidence: Evidence
    /** Of a move: the trust server that it is published at, with everything that the repository has. */
    readonly moveTo?: string
  }
  /** Version and hash of each of these roles in the repository that this was built upon; a role not yet published is absent. */
  readonly base: readonly RoleVersion[]
  readonly createdAt: Date
  /** Empty until signed. The bytes are dropped when the publication has ended; the key holder's log keeps them. */
  readonly files: readonly SignedRole[]
}
