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
  return { request: `${what}-${randomUUID()}`, principal: `operator ${userName()}(uid ${process.getuid?.() ?? -1})` }
}

/** With a space behind it; nothing for a user who has only a number, as in our container. */
function userName(): string {
  try {
    return `${userInfo().username} `
  } catch {
    return ''
  }
}

export function socketOption(): Option {
  return new Option(
    '--operator-socket <path>',
    `the key holder's operator socket (COUNTERSIGN_OPERATOR_SOCKET, else ${DEFAULT_SOCKET})`,
  )
}
