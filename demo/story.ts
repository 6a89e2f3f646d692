// The main job, told in steps. Every claim is checked; a wrong outcome ends the demo.
import type { ImageMaker, PushedImage } from '../test/support/peers/images.ts'
import type { Judge, OwnClient } from './judges.ts'
import type { Narration } from './narration.ts'
import type { Service } from './service.ts'

export interface Stage {
  readonly service: Service
  readonly images: ImageMaker
  readonly client: OwnClient
  /** Docker or notary, where there is one. */
  readonly stock: Judge | undefined
}

/** @returns the image that stays signed. @throws Error at the first outcome that is not as promised */
export async function tellStory(narration: Narration, { service, images, client, stock }: Stage): Promise<PushedImage> {
  const judges = stock === undefined ? [client] : [client, stock]
  /** What every judge finds under the tag. */
  const judge = async (image: PushedImage, expected: string | undefined): Promise<void> => {
    for (const one of judges) {
      const { command, output, digest } = await one.digestOf(image)
      if (command === undefined) narration.output(`${one.name}:`)
      else narration.command(command)
      narration.output(output)
      if (digest !== expected) {
        throw new Error(
          `${one.name} finds ${digest ?? 'nothing'} under ${image.reference}, not ${expected ?? 'nothing'}.`,
        )
      }
    }
  }
  const command = async (...args: string[]): Promise<string> => {
    narration.command(`countersign ${args.join(' ')}`)
    const { status, text } = await service.run(args)
    narration.output(text)
    if (status !== 0) throw new Error(`countersign ${args.join(' ')} ended with ${status}.`)
    return text
  }
  /** A command that must be refused, and with which code. */
  const refused = async (code: string, ...args: string[]): Promise<void> => {
    narration.command(`countersign ${args.join(' ')}`)
    const { status, text } = await service.run(args)
    narration.output(text)
    if (status === 0 || !text.includes(code))
      throw new Error(`countersign ${args.join(' ')}: not refused with ${code}.`)
  }

  const image = await narration.step('A developer pushes an image for two platforms, over HTTP', async () => {
    const pushed = await images.pushIndex('team/app', '1.4')
    narration.output(`${pushed.reference}\nsha256:${pushed.sha256}, ${pushed.length} bytes`)
    return pushed
  })
  await narration.step('Nobody finds a signature of it', () => judge(image, undefined))
  await narration.step('An operator takes the repository under management', async () => {
    const text = await command('repo', 'init', image.gun)
    client.pin(/[0-9a-f]{64}/.exec(text)?.[0] ?? '')
  })
  await narration.step('The developer asks for a signature of this tag at this digest', () =>
    command('sign', `${image.reference}@sha256:${image.sha256}`),
  )
  await narration.step('Now it is found, also by clients that never heard of Countersign', () =>
    judge(image, image.sha256),
  )
  await narration.step('Countersign says the same, verified from the pinned root', () =>
    command('verify', `${image.reference}@sha256:${image.sha256}`),
  )
  await narration.step(
    'Somebody pushes another image under the same tag: it shows, and is not signed by mistake',
    async () => {
      const forged = await images.pushIndex('team/app', '1.4')
      narration.output(`the registry now serves sha256:${forged.sha256}`)
      await refused('digest-differs', 'verify', `${image.reference}@sha256:${forged.sha256}`)
      await refused('DIGEST_MISMATCH', 'sign', `${image.reference}@sha256:${image.sha256}`)
      await judge(image, image.sha256)
      await images.tag(image, '1.4')
    },
  )
  const next = await narration.step(
    'A backup of the trust server is made, and later another version is signed',
    async () => {
      service.backUpTrustServer()
      const pushed = await images.pushIndex('team/app', '1.5')
      await command('sign', `${pushed.reference}@sha256:${pushed.sha256}`)
      await judge(pushed, pushed.sha256)
      return pushed
    },
  )
  await narration.step('Somebody puts the trust server back to that backup: whoever saw more refuses it', async () => {
    await service.stop()
    service.rollTrustServerBack()
    await service.start()
    const { output, code } = await client.digestOf(next)
    narration.output(`${client.name}:`)
    narration.output(output)
    if (code === undefined) throw new Error('The client took a server that was rolled back.')
    await refused('VERSION_ROLLED_BACK', 'verify', next.reference)
  })
  await narration.step('With its own database again, everything is as it was', async () => {
    await service.stop()
    service.restoreTrustServer()
    await service.start()
    await judge(next, next.sha256)
  })
  await narration.step('The first signature is withdrawn; the second one stays', async () => {
    await command('unsign', image.reference)
    await judge(image, undefined)
    await judge(next, next.sha256)
  })
  return next
}
