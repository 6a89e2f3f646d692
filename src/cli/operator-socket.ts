// The key holder's operator socket, as commands reach it. What may reach it is decided by its file permissions, not here.
import { randomUUID } from 'node:crypto'
import { userInfo } from 'node:os'
import { Option } from 'commander'
import { connectKeyHolder, type KeyHolderConnection } from '../holder/client.ts'
import type { Session } from './session.ts'

/** As the key holder's own default. */
const DEFAULT_SOCKET = '/run/countersign/operator.sock'

export interface SocketOptions {
  readonly operatorSocket?: string
}

export async function withOperator<T>(
  session: Session,
  options: SocketOptions,
  work: (operator: KeyHolderConnection) => Promise<T>,
): Promise<T> {
  const fromEnvironment = session.terminal.env['COUNTERSIGN_OPERATOR_SOCKET'] ?? ''
  const operator = connectKeyHolder(
    options.operatorSocket ?? (fromEnvironment === '' ? DEFAULT_SOCKET : fromEnvironment),
  )
  try {
    return await work(operator)
  } finally {
    operator.close()
  }
}

/** Who asks, as far as the key holder's host can tell; the socket's permissions are what counts. */
export function evidenceOf(what: string): { request: string; principal: string } {
  const { uid, username } = userInfo()
  return { request: `${what}-${randomUUID()}`, principal: `operator ${username} (uid ${uid})` }
}

export function socketOption(): Option {
  return new Option(
    '--operator-socket <path>',
    `the key holder's operator socket (COUNTERSIGN_OPERATOR_SOCKET, else ${DEFAULT_SOCKET})`,
  )
}
