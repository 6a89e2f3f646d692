// `audit public-key`: the key that receipts, checkpoints and copies of the log are verified with. From the key holder itself it is as
// good as the way to its socket; from the API it is the daemon's word.
import * as z from 'zod'
import { isVerifierKey } from '../key-holder/signed-note.ts'
import { CliError, EXIT, type ExitStatus } from './errors.ts'
import { withOperator, type SocketOptions } from './operator-socket.ts'
import type { Session } from './session.ts'

const answerShape = z.looseObject({ origin: z.string().max(256), publicKey: z.string().max(512) })

/** @throws ApiProblem; CliError SERVER_*; KeyHolderError KEY_HOLDER_UNREACHABLE */
export async function printPublicKey(session: Session, options: SocketOptions): Promise<ExitStatus> {
  const { origin, publicKey } =
    options.operatorSocket === undefined ? await ofServer(session) : await ofHolder(session, options)
  if (!isVerifierKey(publicKey)) {
    throw new CliError('SERVER_ANSWER_MALFORMED', 'What was answered is not the public key of an audit log.')
  }
  session.output.document({ origin, publicKey })
  session.output.line(publicKey)
  return EXIT.done
}

async function ofServer(session: Session): Promise<z.output<typeof answerShape>> {
  const api = await session.api()
  return api.call({ method: 'GET', path: 'v1/audit/public-key', answer: answerShape })
}

async function ofHolder(session: Session, options: SocketOptions): Promise<{ origin: string; publicKey: string }> {
  const { response } = await withOperator(session, options, (operator) => operator.call('status', {}))
  const { origin, publicKey } = response.log
  return { origin, publicKey }
}
