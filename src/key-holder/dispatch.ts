// From a request frame to an answer frame: which operation, through which socket, in which shape; errors become answers and records.
import { CodedError, TufError, UpdateRefusal } from '@countersign/tuf'
import { KeyHolderError } from '../key-holder-protocol/errors.ts'
import type { AnswerFrame, RequestFrame } from '../key-holder-protocol/frames.ts'
import { isOperationName, OPERATIONS } from '../key-holder-protocol/operations.ts'
import type { Attachments, OperationName, SocketName } from '../key-holder-protocol/operations.ts'
import { appendRecord } from './append-record.ts'
import { beginBackup, readBackup } from './backup.ts'
import { changeRoot } from './change-root.ts'
import { changeTargets } from './change-targets.ts'
import { exportPins } from './export-pins.ts'
import { completeInitialization } from './first-files.ts'
import { freeze, unfreeze } from './freeze.ts'
import { GunQueue } from './gun-queue.ts'
import type { Answer, Call, Holder } from './holder.ts'
import { beginKeyImport, importKey } from './import-key.ts'
import { initializeRepository } from './initialize-repository.ts'
import { createDelegationKey, exportPublicKey } from './key-creation.ts'
import { observeRepository, pinRepository } from './observe-repository.ts'
import { proveInclusion } from './prove-inclusion.ts'
import type { Refusals } from './refusals.ts'
import { renewRoles, repairRoles } from './renew-roles.ts'
import { replaceKeys } from './replace-keys.ts'
import { repositoryStatus, status } from './repository-status.ts'
import { rewrapKeys } from './rewrap-keys.ts'
import { exportRootKey, removeRootKey } from './root-key.ts'
import { retireKey, stageKey } from './staged-keys.ts'
import { permitRecreation, serveDelete } from './serve-delete.ts'
import { serveRefresh } from './serve-refresh.ts'
import { serveState } from './serve-state.ts'
import { serveUpdate } from './serve-update.ts'
import { serverKey } from './server-keys.ts'

/** What answers requests. */
export type Answering = Pick<Dispatcher, 'answer' | 'refuse'>

/** Answered in front of the others, by the SealGate. */
type GateOperation = 'seal' | 'unseal'

type Handler<N extends OperationName> = (holder: Holder, call: Call<N>) => Promise<Answer<N>>

/** One handler per operation of the closed list; a missing or an extra one does not compile. */
const HANDLERS: { readonly [N in Exclude<OperationName, GateOperation>]: Handler<N> } = {
  status,
  'repository-status': repositoryStatus,
  'export-public-key': exportPublicKey,
  'create-delegation-key': createDelegationKey,
  'initialize-repository': initializeRepository,
  'complete-initialization': completeInitialization,
  'change-targets': changeTargets,
  'replace-keys': replaceKeys,
  'renew-roles': renewRoles,
  'repair-roles': repairRoles,
  'change-root': changeRoot,
  'observe-repository': observeRepository,
  'append-record': appendRecord,
  'prove-inclusion': proveInclusion,
  'pin-repository': pinRepository,
  'begin-key-import': beginKeyImport,
  'import-key': importKey,
  'stage-key': stageKey,
  'retire-key': retireKey,
  'rewrap-keys': rewrapKeys,
  'begin-backup': beginBackup,
  'read-backup': readBackup,
  'export-pins': exportPins,
  'export-root-key': exportRootKey,
  'remove-root-key': removeRootKey,
  freeze,
  unfreeze,
  'server-key': serverKey,
  'serve-update': serveUpdate,
  'serve-refresh': serveRefresh,
  'serve-state': serveState,
  'serve-delete': serveDelete,
  'permit-recreation': permitRecreation,
}

/** Operations about served repositories share nothing with the others but the GUN, and so do not wait for them. */
const SERVING: ReadonlySet<OperationName> = new Set<OperationName>([
  'server-key',
  'serve-update',
  'serve-refresh',
  'serve-state',
  'serve-delete',
  'permit-recreation',
])

/** Operations that touch no repository: they wait for nothing, and nothing waits for them. */
const BESIDE: ReadonlySet<OperationName> = new Set<OperationName>([
  'append-record',
  'prove-inclusion',
  'begin-key-import',
  'export-pins',
])

export class Dispatcher {
  readonly #holder: Holder
  readonly #refusals: Refusals
  readonly #onDefect: (error: unknown) => void
  readonly #queue = new GunQueue()
  /** Of what has not begun. */
  #refusal: KeyHolderError | undefined

  constructor(holder: Holder, refusals: Refusals, onDefect: (error: unknown) => void) {
    this.#holder = holder
    this.#refusals = refusals
    this.#onDefect = onDefect
  }

  /** Never rejects: a refusal is an answer. */
  async answer(socket: SocketName, frame: RequestFrame): Promise<AnswerFrame> {
    try {
      const { response, attachments = new Map<string, Uint8Array>() } = await this.#perform(socket, frame)
      return { id: frame.id, response, attachments }
    } catch (thrown) {
      return this.refuse(socket, frame, thrown)
    }
  }

  /** Records a refusal and makes the answer of it. `frame` is undefined where the frame could not be read. */
  refuse(socket: SocketName, frame: RequestFrame | undefined, thrown: unknown): AnswerFrame {
    const error = toKeyHolderError(thrown)
    const gun = gunIn(frame?.request)
    this.#refusals.record(
      { socket, ...(frame !== undefined && { operation: frame.operation }), ...(gun !== undefined && { gun }) },
      error,
    )
    return answerOfError(frame?.id ?? 0, thrown, this.#onDefect)
  }

  /** From now on what has not begun is refused with this, also what waits already. */
  refuseFurther(refusal: KeyHolderError): void {
    this.#refusal = refusal
  }

  /** Resolves when no operation is under way. */
  async idle(): Promise<void> {
    await this.#queue.idle()
  }

  #perform(socket: SocketName, frame: RequestFrame): Promise<Answer<OperationName>> {
    const call = checkedCall(socket, frame)
    const name = frame.operation as Exclude<OperationName, GateOperation>
    const handler = HANDLERS[name] as Handler<OperationName>
    const begin = (): Promise<Answer<OperationName>> => {
      if (this.#refusal !== undefined) throw this.#refusal
      return handler(this.#holder, call)
    }
    if (BESIDE.has(name)) return this.#queue.beside(begin)
    // Of backups there is one at a time, for which nobody else has to wait.
    if (name === 'begin-backup' || name === 'read-backup') return this.#queue.run('backup', begin)
    // Two at a time would each rewrap what the other has replaced; no other operation has to wait for it.
    if (name === 'rewrap-keys') return this.#queue.run('unlock key', begin)
    const lane = `${SERVING.has(name) ? 'served ' : ''}${gunIn(call.request) ?? ''}`
    return this.#queue.run(lane, begin)
  }
}

/** The answer that a refusal is. */
export function answerOfError(id: number, thrown: unknown, onDefect: (error: unknown) => void): AnswerFrame {
  const { code, message, facts } = toKeyHolderError(thrown)
  if (code === 'KEY_HOLDER_INTERNAL') onDefect(thrown)
  return { id, error: { code, message, facts }, attachments: new Map() }
}

/**
 * An operation of the list, through one of its sockets, in its shape.
 * @throws KeyHolderError OPERATION_UNKNOWN, OPERATION_NOT_ON_THIS_SOCKET, OPERATION_MALFORMED
 */
export function checkedCall(socket: SocketName, frame: RequestFrame): Call<OperationName> {
  const { operation: name, attachments } = frame
  if (!isOperationName(name)) {
    throw new KeyHolderError('OPERATION_UNKNOWN', 'The key holder has no such operation.', { operation: name })
  }
  const operation = OPERATIONS[name]
  const sockets: readonly SocketName[] = operation.sockets
  if (!sockets.includes(socket)) {
    throw new KeyHolderError('OPERATION_NOT_ON_THIS_SOCKET', 'This operation is not for this socket.', {
      operation: name,
      socket,
    })
  }
  const parsed = operation.request.safeParse(frame.request)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new KeyHolderError('OPERATION_MALFORMED', 'The request does not have the shape of its operation.', {
      operation: name,
      at: issue?.path.join('.') ?? '',
      why: issue?.message ?? '',
    })
  }
  checkAttachments(parsed.data, attachments)
  return { socket, request: parsed.data, attachments }
}

/** Every listed file has its attachment, once, and there is no other. @throws KeyHolderError OPERATION_MALFORMED */
function checkAttachments(request: object, attachments: Attachments): void {
  const listed = 'files' in request && Array.isArray(request.files) ? request.files.map(String) : []
  const names = new Set(listed)
  if (
    names.size !== listed.length ||
    names.size !== attachments.size ||
    listed.some((name) => !attachments.has(name))
  ) {
    throw new KeyHolderError('OPERATION_MALFORMED', 'The attachments are not exactly the files listed.', {
      listed: listed.length,
      attachments: attachments.size,
    })
  }
}

/** Errors of the library that no operation expected are about the words of the request: names, keys, certificates. */
function toKeyHolderError(thrown: unknown): KeyHolderError {
  if (thrown instanceof KeyHolderError) return thrown
  if (thrown instanceof UpdateRefusal) {
    return new KeyHolderError(thrown.code, thrown.message, thrown.facts, { cause: thrown })
  }
  if (thrown instanceof TufError) {
    const facts = { ...thrown.facts, reason: thrown.code }
    return new KeyHolderError('OPERATION_MALFORMED', `The request cannot be read: ${thrown.message}.`, facts, {
      cause: thrown,
    })
  }
  const reason = thrown instanceof CodedError ? String(thrown.code) : 'unexpected'
  return new KeyHolderError(
    'KEY_HOLDER_INTERNAL',
    'The key holder failed; its log has the cause.',
    { reason },
    { cause: thrown },
  )
}

function gunIn(request: unknown): string | undefined {
  if (typeof request !== 'object' || request === null || !('gun' in request)) return undefined
  return typeof request.gun === 'string' ? request.gun : undefined
}
