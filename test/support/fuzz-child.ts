// A process whose memory is limited: told a parser by its number, it gives it every pathological input.
import { accepts } from './fuzz.ts'
import { FUZZ_TARGETS } from './fuzz-targets.ts'
import { pathological } from './mutator.ts'

export interface FuzzAnswer {
  /** How many inputs ended as they must. */
  readonly inputs: number
  readonly error?: string
}

async function tryAll(index: number, bytes: number): Promise<FuzzAnswer> {
  const target = FUZZ_TARGETS[index]
  if (target === undefined) throw new Error(`There is no parser ${index}.`)
  let inputs = 0
  try {
    for (const [name, input] of pathological(bytes)) {
      await accepts(target, input, name)
      inputs++
    }
    return { inputs }
  } catch (error) {
    return { inputs, error: String(error) }
  }
}

process.on('message', ({ target, bytes }: { target: number; bytes: number }) => {
  void tryAll(target, bytes).then((answer) => process.send?.(answer))
})
