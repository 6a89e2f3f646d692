// The knobs: faults at a low rate, in tests whose outcome must not depend on them. COUNTERSIGN_TEST_WEATHER is the rate in percent.
// The idea is Pebble's, which refuses good requests now and then so that nobody gets used to a server without faults.
import { KeyHolderError } from '../../src/key-holder-protocol/errors.ts'
import { NotaryError } from '../../src/notary/errors.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import { Chance } from './chance.ts'
import type { Moment } from './fakes/faults.ts'

/** From 0 to 1. */
export const WEATHER_RATE = Number(process.env['COUNTERSIGN_TEST_WEATHER'] ?? 3) / 100
if (!(WEATHER_RATE >= 0 && WEATHER_RATE <= 1)) throw new Error('COUNTERSIGN_TEST_WEATHER is a percentage.')

export interface Strike {
  readonly moment: Moment
  readonly error: () => Error
}

/** What the adapters throw where the other side fails, by `port.method`, or by port. Each is told with and without its effect. */
const STRIKES: Readonly<Record<string, readonly Strike[]>> = {
  source: [{ moment: 'before', error: () => new NotaryError('NOTARY_UNAVAILABLE', 'bad weather') }],
  resolver: [{ moment: 'before', error: () => new RegistryError('REGISTRY_UNAVAILABLE', 'bad weather') }],
  'publisher.publish': [
    { moment: 'before', error: () => new NotaryError('NOTARY_CONFLICT', 'bad weather', { code: 'UPDATING' }) },
    { moment: 'before', error: () => new NotaryError('NOTARY_ANSWER_LOST', 'bad weather') },
    { moment: 'after', error: () => new NotaryError('NOTARY_ANSWER_LOST', 'bad weather') },
  ],
  'publisher.serverKey': [{ moment: 'before', error: () => new NotaryError('NOTARY_UNAVAILABLE', 'bad weather') }],
  keyHolder: [
    { moment: 'before', error: () => new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'bad weather') },
    { moment: 'after', error: () => new KeyHolderError('KEY_HOLDER_UNREACHABLE', 'bad weather') },
  ],
}

/** The calls of a publication under way: nobody waits for them, and the services try them again. */
export function isOfPublication(method: string): boolean {
  return /^(publisher\.publish|keyHolder\.(changeTargets|observeRepository))$/.test(method)
}

/** Strikes calls at random. Give it to Faults. */
export class Weather {
  /** Every call struck, as `port.method moment`. */
  readonly struck: string[] = []
  readonly #chance: Chance
  readonly #rate: number
  readonly #concerns: (method: string) => boolean

  /** @param concerns which calls may be struck; all by default */
  constructor(name: string, rate = WEATHER_RATE, concerns: (method: string) => boolean = () => true) {
    this.#chance = Chance.named(name)
    this.#rate = rate
    this.#concerns = concerns
  }

  strike(method: string): Strike | undefined {
    const strikes = STRIKES[method] ?? STRIKES[method.split('.')[0] ?? '']
    if (strikes === undefined || !this.#concerns(method) || !this.#chance.happens(this.#rate)) return undefined
    const strike = this.#chance.pick(strikes)
    this.struck.push(`${method} ${strike.moment}`)
    return strike
  }
}
