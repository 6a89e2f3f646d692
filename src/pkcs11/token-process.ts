// The process that has one PKCS#11 module loaded. A module is foreign code that may block for ever or crash: here it takes nobody along.
// Started by token.ts, which ends it when it does not answer; ends by itself when its parent has gone.
import type { TokenAnswer, TokenAnswerMessage, TokenCall, TokenRequestMessage } from './calls.ts'
import { TokenSession } from './session.ts'

const session = await loadBinding()

process.on('message', ({ id, call }: TokenRequestMessage) => {
  const message: TokenAnswerMessage = { id, answer: answer(call) }
  process.send?.(message)
})
process.on('disconnect', () => {
  process.exit()
})

function answer(call: TokenCall): TokenAnswer {
  return session?.answer(call) ?? { failure: 'not-installed', detail: 'the package pkcs11js is not installed' }
}

/** The binding is an optional dependency: its addon is compiled where it is installed. */
async function loadBinding(): Promise<TokenSession | undefined> {
  try {
    const { default: binding } = await import('pkcs11js')
    return new TokenSession(binding)
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined
    throw error
  }
}
