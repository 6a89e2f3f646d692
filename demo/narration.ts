// How the demo speaks: numbered steps with their time, what was run, what came out. Colour only on a terminal.

export interface Speaker {
  readonly write: (text: string) => unknown
  readonly isColoured: boolean
}

const STYLES = { bold: 1, dim: 2, green: 32, red: 31 } as const

export class Narration {
  readonly #speaker: Speaker
  #steps = 0

  constructor(speaker: Speaker) {
    this.#speaker = speaker
  }

  say(text = ''): void {
    this.#speaker.write(`${text}\n`)
  }

  /** A command as one would type it. */
  command(text: string): void {
    this.say(this.#paint(`     $ ${text}`, 'dim'))
  }

  /** What a command printed, indented. */
  output(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.say(`       ${line}`)
  }

  /** Does one step and says how long it took; what it says itself comes below its title. */
  async step<T>(title: string, work: () => Promise<T>): Promise<T> {
    this.#steps += 1
    this.say(this.#paint(`${String(this.#steps).padStart(2)}. ${title}`, 'bold'))
    const start = performance.now()
    try {
      const result = await work()
      this.say(this.#paint(`     done in ${Math.round(performance.now() - start)} ms`, 'green'))
      return result
    } catch (error) {
      this.say(this.#paint('     failed', 'red'))
      throw error
    }
  }

  #paint(text: string, style: keyof typeof STYLES): string {
    return this.#speaker.isColoured ? `\u001b[${STYLES[style]}m${text}\u001b[0m` : text
  }
}
