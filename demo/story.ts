// The main job, told in steps: push, refuse, initialise, sign, verify, unsign. Every claim is checked; a wrong outcome ends the demo.
import type { Countersign } from '../test/support/countersign.ts'
import type { ImageMaker } from '../test/support/peers/images.ts'
import type { Narration } from './narration.ts'
import type { Verifier } from './verifier.ts'

export interface Stage {
  readonly countersign: Countersign
  readonly images: ImageMaker
  readonly verifier: Verifier
}

/** @throws Error at the first outcome that is not as promised */
export async function tellStory(narration: Narration, { countersign, images, verifier }: Stage): Promise<void> {
  const image = await narration.step('A developer pushes an image to the registry', async () => {
    const pushed = await images.pushIndex('team/app', '1.4')
    narration.output(`${pushed.reference}\nsha256:${pushed.sha256}, ${pushed.length} bytes, two platforms`)
    return pushed
  })
  const verify = async (expected: 'signed' | 'not signed'): Promise<void> => {
    const { command, output, digest } = await verifier.digestOf(image)
    narration.command(command)
    narration.output(output)
    const found = digest === image.sha256 ? 'signed' : 'not signed'
    if (found !== expected) throw new Error(`${image.reference} is ${found}.`)
  }
  const countersignCommand = async (...args: string[]): Promise<void> => {
    narration.command(`countersign ${args.join(' ')}`)
    const { text } = await countersign.must(args)
    narration.output(text)
  }

  await narration.step(`${verifier.name} knows no signature of it`, () => verify('not signed'))
  await narration.step('An operator takes the repository under management', () =>
    countersignCommand('repo', 'init', image.gun),
  )
  await narration.step('The developer asks for a signature of this tag at this digest', () =>
    countersignCommand('sign', `${image.reference}@sha256:${image.sha256}`),
  )
  await narration.step(`${verifier.name} accepts it`, () => verify('signed'))
  await narration.step('Countersign says the same, verified from the pinned root', () =>
    countersignCommand('verify', image.reference),
  )
  await narration.step('Another image under this tag is not what was asked for: refused', async () => {
    const args = ['sign', `${image.reference}@sha256:${'0'.repeat(64)}`]
    narration.command(`countersign ${args.join(' ')}`)
    const refused = await countersign.run(args)
    narration.output(refused.text)
    if (refused.status === 0) throw new Error('A digest that the registry does not serve was signed.')
  })
  await narration.step('The signature is withdrawn', () => countersignCommand('unsign', image.reference))
  await narration.step(`${verifier.name} refuses it again`, () => verify('not signed'))
}
