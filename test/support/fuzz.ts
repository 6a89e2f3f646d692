// Runs cases against one parser. A parser may return or throw a CodedError; anything else stops the run and says how to repeat it.
import { setImmediate as turn } from 'node:timers/promises'
import { Chance, RUN_SEED } from './chance.ts'
import { isTyped, type FuzzTarget } from './fuzz-targets.ts'
import { mutated } from './mutator.ts'

/** Cases between two turns of the event loop, so that time limits of the test runner hold. */
const CASES_PER_TURN = 200

export interface FuzzFigures {
  readonly accepted: number
  readonly refused: number
}

/** @throws Error at the first case that ends otherwise, with its number and its bytes in base64 */
export async function fuzz(target: FuzzTarget, cases: number): Promise<FuzzFigures> {
  const chance = Chance.named(`fuzz ${target.name}`)
  let accepted = 0
  for (let index = 0; index < cases; index++) {
    const bytes = mutated(target.samples, chance)
    if (await accepts(target, bytes, `case ${index} of seed ${RUN_SEED}`)) accepted++
    if (index % CASES_PER_TURN === 0) await turn()
  }
  return { accepted, refused: cases - accepted }
}

/** Whether the parser took the input; a refusal with a code is false. @throws Error where it ended otherwise */
export async function accepts({ name, parse }: FuzzTarget, bytes: Buffer, which: string): Promise<boolean> {
  try {
    const result = parse(bytes)
    if (result instanceof Promise) await result
    return true
  } catch (error) {
    if (isTyped(error)) return false
    const shown = bytes.byteLength > 4096 ? `${bytes.byteLength} bytes` : bytes.toString('base64')
    throw new Error(`${name}, ${which}: ${String(error)}\n${shown}`, { cause: error })
  }
}
