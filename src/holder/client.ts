// The daemon's side of the key holder's service socket: the KeyHolder port in the words of the protocol. It decides nothing.
import {
  decodeBase64,
  parseJson,
  parsePublicKey,
  parseRoleName,
  sha256Hex,
  type Gun,
  type PublicKey,
  type RoleName,
} from '@countersign/tuf'
import type {
  DeclaredChange,
  InitializationFiles,
  KeyHolder,
  KeyHolderStatus,
  RepositoryCustody,
  SignedRole,
} from '../domain/ports.ts'
import type { ProvenRecord } from '../domain/receipt.ts'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { OperationInput, OperationResponse } from '../key-holder-protocol/operations.ts'
import { connectKeyHolder, type KeyHolderConnection, type KeyHolderConnectionOptions } from './connection.ts'

export { connectKeyHolder, type KeyHolderAnswer, type KeyHolderConnection } from './connection.ts'

type WireKey = OperationResponse<'export-public-key'>['key']

/** The KeyHolder port over a service socket. */
export class KeyHolderClient implements KeyHolder {
  readonly #connection: KeyHolderConnection

  constructor(socketPath: string, options: KeyHolderConnectionOptions = {}) {
    this.#connection = connectKeyHolder(socketPath, options)
  }

  close(): void {
    this.#connection.close()
  }

  async status(): Promise<KeyHolderStatus> {
    return (await this.#connection.call('status', {})).response
  }

  async repositoryStatus(gun: Gun): Promise<RepositoryCustody> {
    const { response } = await this.#connection.call('repository-status', { gun })
    return toCustody(gun, response)
  }

  async exportPublicKey(gun: Gun, role: RoleName, canonicalKeyId?: string): Promise<{ key: PublicKey; pem: string }> {
    const request = { gun, role, ...(canonicalKeyId !== undefined && { canonicalKeyId }) }
    const { response } = await this.#connection.call('export-public-key', request)
    return { key: toPublicKey(response.key), pem: response.pem }
  }

  async createDelegationKey(
    o: Parameters<KeyHolder['createDelegationKey']>[0],
  ): Promise<{ key: PublicKey; pem: string }> {
    const { response } = await this.#connection.call('create-delegation-key', { ...o, evidence: { ...o.evidence } })
    return { key: toPublicKey(response.key), pem: response.pem }
  }

  async initializeRepository(o: Parameters<KeyHolder['initializeRepository']>[0]): Promise<InitializationFiles> {
    const { response, attachments } = await this.#connection.call('initialize-repository', {
      ...o,
      snapshotKey: toWireKey(o.snapshotKey),
      timestampKey: toWireKey(o.timestampKey),
    })
    return { state: response.state, rootKeyIds: response.rootKeyIds, files: listed(response.files, attachments) }
  }

  async completeInitialization(o: Parameters<KeyHolder['completeInitialization']>[0]): Promise<InitializationFiles> {
    const { response, attachments } = await this.#connection.call('complete-initialization', {
      ...o,
      signatures: o.signatures.map((signature) => ({ ...signature })),
    })
    return { state: response.state, rootKeyIds: response.rootKeyIds, files: listed(response.files, attachments) }
  }

  async changeTargets(o: Parameters<KeyHolder['changeTargets']>[0]): Promise<readonly SignedRole[]> {
    const { publication, gun, roles, base } = o
    const request = {
      publication,
      gun,
      roles: [...roles],
      changes: o.changes.map(toWireChange),
      files: [...base.keys()],
    }
    const { response, attachments } = await this.#connection.call('change-targets', request, base)
    return signedRoles(response.roles, attachments)
  }

  async replaceKeys(o: Parameters<KeyHolder['replaceKeys']>[0]): Promise<readonly SignedRole[]> {
    const { publication, gun, evidence, base } = o
    const request = { publication, gun, evidence: { ...evidence }, files: [...base.keys()] }
    const { response, attachments } = await this.#connection.call('replace-keys', request, base)
    return signedRoles(response.roles, attachments, response.restored)
  }

  renewRoles(o: Parameters<KeyHolder['renewRoles']>[0]): Promise<readonly SignedRole[]> {
    return this.#signAgain('renew-roles', o)
  }

  repairRoles(o: Parameters<KeyHolder['repairRoles']>[0]): Promise<readonly SignedRole[]> {
    return this.#signAgain('repair-roles', o)
  }

  async #signAgain(
    operation: 'renew-roles' | 'repair-roles',
    { publication, gun, roles, evidence, base }: Parameters<KeyHolder['renewRoles']>[0],
  ): Promise<readonly SignedRole[]> {
    const request = { publication, gun, roles: [...roles], evidence: { ...evidence }, files: [...base.keys()] }
    const { response, attachments } = await this.#connection.call(operation, request, base)
    return signedRoles(response.roles, attachments, response.restored)
  }

  async changeRoot(o: Parameters<KeyHolder['changeRoot']>[0]): Promise<readonly SignedRole[]> {
    const { publication, gun, evidence, nextRoot, base } = o
    const files = new Map([...base, ['next-root', nextRoot]])
    const request = { publication, gun, evidence: { ...evidence }, files: [...files.keys()] }
    const { response, attachments } = await this.#connection.call('change-root', request, files)
    return signedRoles(response.roles, attachments)
  }

  async observeRepository(gun: Gun, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    await this.#connection.call('observe-repository', { gun, files: [...files.keys()] }, files)
  }

  async proveInclusion(o: Parameters<KeyHolder['proveInclusion']>[0]): Promise<ProvenRecord> {
    const { response } = await this.#connection.call('prove-inclusion', o)
    return {
      index: response.index,
      bytes: decodeBase64(response.record),
      leafHash: decodeBase64(response.leafHash),
      proof: response.proof.map(decodeBase64),
      checkpoint: response.checkpoint,
      logKey: response.publicKey,
    }
  }

  async appendRecord(kind: string, facts: Readonly<Record<string, string | number | boolean>>): Promise<number> {
    return (await this.#connection.call('append-record', { kind, facts: { ...facts } })).response.index
  }
}

function signedRoles(
  roles: OperationResponse<'change-targets'>['roles'],
  attachments: ReadonlyMap<string, Uint8Array>,
  restored: readonly string[] = [],
): readonly SignedRole[] {
  const files = listed([...roles.map(({ role }) => role), ...restored.map((role) => `restored/${role}`)], attachments)
  return roles.map(({ role, version, sha256 }) => {
    const bytes = files.get(role)
    if (bytes === undefined || sha256Hex(bytes) !== sha256) throw malformed('a signed file is not the one announced')
    const former = files.get(`restored/${role}`)
    return { role: parseRoleName(role), version, sha256, bytes, ...(former !== undefined && { restored: former }) }
  })
}

function toWireChange(declared: DeclaredChange): OperationInput<'change-targets'>['changes'][number] {
  const { change, evidence, approvals } = declared
  const by = { evidence: { ...evidence }, ...(approvals !== undefined && { approvals: [...approvals] }) }
  if (change.kind === 'drop') return { kind: 'drop', tag: change.name, ...by }
  return { kind: 'put', tag: change.name, sha256: change.sha256, length: change.length, ...by }
}

function toWireKey(key: PublicKey): WireKey {
  return { keytype: key.keyType, keyval: { private: null, public: key.publicValue } }
}

const DAY_MS = 86_400_000
/** Large enough for a certificate bundle. */
const KEY_LIMITS = { maxBytes: 256 * 1024, maxDepth: 4 }

function toPublicKey(key: WireKey): PublicKey {
  return parsePublicKey(parseJson(Buffer.from(JSON.stringify(key)), KEY_LIMITS))
}

function toCustody(gun: Gun, response: OperationResponse<'repository-status'>): RepositoryCustody {
  const { state, frozenBecause, rootCustody, pinnedRoot, foreign, foreignLeftOut = 0, lifetimeDays } = response
  return {
    gun,
    state,
    rootCustody,
    ...(frozenBecause !== undefined && { frozenBecause }),
    ...(pinnedRoot !== undefined && { pinnedRoot }),
    keys: response.keys.map(({ role, activeSince, lastUsedAt, replaces, ...key }) => ({
      keyType: key.keyType,
      tufKeyId: key.tufKeyId,
      canonicalKeyId: key.canonicalKeyId,
      custody: key.custody,
      createdAt: key.createdAt,
      state: key.state,
      role: parseRoleName(role),
      ...(activeSince !== undefined && { activeSince }),
      ...(lastUsedAt !== undefined && { lastUsedAt }),
      ...(replaces !== undefined && { replaces }),
    })),
    roles: response.roles.map(({ role, highestSeen, highestSigned }) => ({
      role: parseRoleName(role),
      ...(highestSeen !== undefined && { highestSeen }),
      ...(highestSigned !== undefined && { highestSigned }),
    })),
    ...(response.disowned !== undefined && { disowned: response.disowned.map(parseRoleName) }),
    ...(foreign !== undefined && {
      foreign: {
        versions: foreign.map(({ role, version, decision }) => ({ role: parseRoleName(role), version, decision })),
        leftOut: foreignLeftOut,
      },
    }),
    ...(lifetimeDays !== undefined && {
      lifetimes: {
        rootMs: lifetimeDays.root * DAY_MS,
        targetsMs: lifetimeDays.targets * DAY_MS,
        delegationsMs: lifetimeDays.delegations * DAY_MS,
        snapshotMs: lifetimeDays.snapshot * DAY_MS,
      },
    }),
  }
}

/** The attachments, where they are exactly those listed. */
function listed(
  names: readonly string[],
  attachments: ReadonlyMap<string, Uint8Array>,
): ReadonlyMap<string, Uint8Array> {
  if (names.length !== attachments.size || !names.every((name) => attachments.has(name))) {
    throw malformed('the files are not those announced')
  }
  return attachments
}

function malformed(what: string): KeyHolderError {
  return new KeyHolderError('FRAME_MALFORMED', `The key holder's answer is malformed: ${what}.`, { what })
}
