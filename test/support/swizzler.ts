// Damages a role of a good repository. The role is signed again where the damage is in what it says, and everything above it
// describes the damaged file: what is wrong is one thing, at one place.
import { ROOT, type JsonObject, type JsonValue } from '@countersign/tuf'
import { NOW, type RepositoryBuilder, type RoleSource } from './repository-builder.ts'
import { testKey } from './test-keys.ts'

export type Damage = (builder: RepositoryBuilder, role: string) => void

const DAY_MS = 24 * 60 * 60 * 1000

/** Expired yesterday. */
export const expire: Damage = (builder, role) => {
  builder.role(role).expiresAt = new Date(NOW.getTime() - DAY_MS)
}

export function offsetVersion(by: number): Damage {
  return (builder, role) => {
    builder.role(role).version += by
  }
}

/** What its parent or root demands; the signatures stay. */
export function setThreshold(threshold: number): Damage {
  return (builder, role) => {
    builder.role(role).threshold = threshold
  }
}

/** Well signed, by a key that is not one of the role. */
export const signWithForeignKey: Damage = (builder, role) => {
  builder.role(role).signers = [testKey('foreign')]
}

export const stripSignatures: Damage = (builder, role) => {
  builder.role(role).editSignatures = () => []
}

/** Every signature stands, none is right. */
export const breakSignatures: Damage = (builder, role) => {
  builder.role(role).editSignatures = (signatures) =>
    signatures.map((entry) => ({ ...entry, signature: entry.signature.map((byte) => byte ^ 1) }))
}

export const relabelMethod =
  (method: string): Damage =>
  (builder, role) => {
    builder.role(role).editSignatures = (signatures) => signatures.map((entry) => ({ ...entry, method }))
  }

export function setMember(name: string, value: JsonValue): Damage {
  return editSigned((signed) => signed.set(name, value))
}

export function dropMember(name: string): Damage {
  return editSigned((signed) => signed.delete(name))
}

export function editSigned(edit: (signed: Map<string, JsonValue>) => unknown): Damage {
  return (builder, role) => {
    builder.role(role).edit = (signed) => {
      edit(signed)
    }
  }
}

/** Changes the text of the file after it was signed. */
export function replaceText(from: string, to: string): Damage {
  return (builder, role) => {
    builder.role(role).mangle = (bytes) => {
      const text = Buffer.from(bytes).toString('utf8')
      if (!text.includes(from)) throw new Error(`nothing to replace in ${role}: ${from}`)
      return Buffer.from(text.replace(from, to))
    }
  }
}

/** The snapshot or timestamp lists another length than the file has. */
export function declareLength(by: number): Damage {
  return editListed((meta) => meta.set('length', Number(meta.get('length')) + by))
}

/** One of the hashes listed is of something else. */
export function declareWrongHash(algorithm: 'sha256' | 'sha512'): Damage {
  const digest = Buffer.alloc(algorithm === 'sha256' ? 32 : 64).toString('base64')
  return editListed((meta) => meta.set('hashes', new Map([...(meta.get('hashes') as JsonObject), [algorithm, digest]])))
}

/** The parent lists the role's first key under an ID that is not its own, and the signature names that ID. */
export const listKeyUnderWrongId: Damage = (builder, role) => {
  const { keys } = builder.role(role)
  const right = keys[0]!.publicKey.tufKeyId
  const wrong = 'ab'.repeat(32) as typeof right
  const parent = role.includes('/') ? role.slice(0, role.lastIndexOf('/')) : ROOT
  chainEdit(builder.role(parent), (signed) => {
    const holder = parent === ROOT ? signed : (signed.get('delegations') as Map<string, JsonValue>)
    renameKey(holder, right, wrong)
  })
  builder.role(role).editSignatures = (signatures) =>
    signatures.map((entry) => (entry.keyId === right ? { ...entry, keyId: wrong } : entry))
}

function chainEdit(role: RoleSource, edit: (signed: Map<string, JsonValue>) => void): void {
  const before = role.edit
  role.edit = (signed) => {
    before?.(signed)
    edit(signed)
  }
}

function editListed(edit: (meta: Map<string, JsonValue>) => unknown): Damage {
  return (builder, role) => {
    builder.role(role).editListed = (meta) => {
      edit(meta)
    }
  }
}

/** In `keys`, and in the `keyids` of every role. */
function renameKey(holder: Map<string, JsonValue>, from: string, to: string): void {
  const rename = (value: JsonValue): JsonValue => {
    if (value === from) return to
    if (Array.isArray(value)) return value.map(rename)
    if (!(value instanceof Map)) return value
    return new Map([...(value as JsonObject)].map(([name, member]) => [name === from ? to : name, rename(member)]))
  }
  for (const name of ['keys', 'roles']) holder.set(name, rename(holder.get(name) ?? null))
}
