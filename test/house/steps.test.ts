// Every numbered step in the code says what a crash around it leaves, and the steps of a publication are numbered as they are named.
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import { PUBLICATION_STEPS } from '../../src/service/steps.ts'

const top = resolve(import.meta.dirname, '../..')

interface NumberedStep {
  readonly file: string
  readonly number: number
  readonly words: string
}

/** Comments that begin with a number, with the lines that go on. */
function numberedSteps(folder: string): NumberedStep[] {
  return readdirSync(join(top, folder))
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => {
      const text = readFileSync(join(top, folder, name), 'utf8')
      const comments = [...text.matchAll(/^ *(?:\/\/|\/\*\*) ([0-9]+)\. (.*(?:\n *(?:\/\/|\*) .*)*)/gm)]
      return comments.map(([, number, words = '']) => ({ file: `${folder}/${name}`, number: Number(number), words }))
    })
}

describe('numbered steps', () => {
  const steps = ['src/service', 'src/key-holder'].flatMap(numberedSteps)

  it('are found', () => {
    expect(new Set(steps.map(({ file }) => file))).to.include.all.keys(
      'src/service/form-intent.ts',
      'src/service/sign.ts',
      'src/service/initialize.ts',
      'src/key-holder/change-targets.ts',
      'src/key-holder/initialize-repository.ts',
      'src/key-holder/first-files.ts',
    )
  })

  it('say what a crash leaves', () => {
    const silent = steps.filter(({ words }) => !/\bcrash/i.test(words))
    expect(silent.map(({ file, number }) => `${file} ${number}`)).to.deep.equal([])
  })

  it('of a publication are numbered and passed in the order of their names', () => {
    const files = ['src/service/form-intent.ts', 'src/service/sign.ts']
    const numbers = files.flatMap((file) => steps.filter((step) => step.file === file).map(({ number }) => number))
    const text = files.map((file) => readFileSync(join(top, file), 'utf8')).join('\n')
    const passed = [...text.matchAll(/#passed\('([a-z-]+)'\)/g)].map(([, name]) => name)
    // Steps 9 and 10 are called by step 8, and stand in its order in the file.
    expect(numbers.sort((a, b) => a - b)).to.deep.equal(PUBLICATION_STEPS.map((_, index) => index + 1))
    expect(passed).to.deep.equal([...PUBLICATION_STEPS])
  })
})
