// Makes the calls of a port fail: before their effect, or after it, as planned or by the weather. And counts every call.
import type { Weather } from '../weather.ts'

export type Moment = 'before' | 'after'

export interface Fault {
  readonly method: string
  /** The nth call of this method, from 1; or each. */
  readonly call: number | 'every'
  readonly moment: Moment
  readonly error: () => Error
}

/** Thrown where a test wants the process to be gone: nothing in the services may recover from it. */
export class Crash extends Error {}

export class Faults {
  /** Every call, as `port.method`, in order. */
  readonly calls: string[] = []
  /** Strikes calls that no fault is planned for. */
  weather: Weather | undefined
  #fault: Fault | undefined
  #isDown = false

  plan(fault: Fault | undefined): void {
    this.calls.length = 0
    this.#fault = fault
    this.#isDown = false
  }

  /** Whether the planned fault came to pass. */
  get happened(): boolean {
    return this.#isDown
  }

  wrap<T extends object>(name: string, port: T): T {
    return new Proxy(port, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target)
        if (typeof value !== 'function') return value
        return (...parameters: unknown[]) =>
          this.#call(`${name}.${String(property)}`, () => value.apply(target, parameters) as unknown)
      },
    })
  }

  #call(method: string, work: () => unknown): unknown {
    this.calls.push(method)
    const fault = this.#fault
    // After a crash nothing works any more until the next plan.
    if (this.#isDown && fault?.error() instanceof Crash) throw fault.error()
    if (fault === undefined) return this.#inWeather(method, work)
    if (fault.method !== method) return work()
    if (fault.call !== 'every' && this.calls.filter((call) => call === method).length !== fault.call) return work()
    this.#isDown = true
    if (fault.moment === 'before') return this.#fail(fault, undefined)
    return this.#fail(fault, work())
  }

  #inWeather(method: string, work: () => unknown): unknown {
    const strike = this.weather?.strike(method)
    if (strike === undefined) return work()
    return this.#fail(strike, strike.moment === 'before' ? Promise.resolve() : work())
  }

  /** Asynchronous ports reject, synchronous ones throw. */
  #fail(fault: Pick<Fault, 'error'>, result: unknown): unknown {
    if (result instanceof Promise) {
      return result.then(() => {
        throw fault.error()
      })
    }
    throw fault.error()
  }
}
