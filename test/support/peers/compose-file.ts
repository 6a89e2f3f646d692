// Reads deploy/compose.yaml and runs its services with plain `docker run`, so that the example itself is what is tested. Knows only what
// that file uses, and refuses anything else.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'

const service = z.strictObject({
  image: z.string(),
  build: z.unknown(),
  read_only: z.literal(true),
  cap_drop: z.array(z.string()),
  security_opt: z.array(z.string()),
  tmpfs: z.array(z.string()),
  ulimits: z.record(z.string(), z.number()),
  restart: z.string(),
  user: z.string().regex(/^\d+:\d+$/),
  network_mode: z.string().optional(),
  depends_on: z.array(z.string()).optional(),
  ports: z.array(z.string()).optional(),
  command: z.array(z.string()),
  volumes: z.array(z.string()),
})

const composeFile = z.strictObject({
  name: z.string(),
  'x-hardened': z.unknown(),
  services: z.record(z.string(), service),
  volumes: z.record(z.string(), z.null()),
})

export type ComposeService = z.output<typeof service>
export type ComposeFile = z.output<typeof composeFile>

const FOLDER = resolve(import.meta.dirname, '../../../deploy')

export function readComposeFile(): ComposeFile {
  return composeFile.parse(parse(readFileSync(resolve(FOLDER, 'compose.yaml'), 'utf8'), { merge: true }))
}

/** An example file that stands beside compose.yaml, decoded. */
export function readExample(name: string): Record<string, unknown> {
  return z.record(z.string(), z.unknown()).parse(parse(readFileSync(resolve(FOLDER, 'compose', name), 'utf8')))
}

/**
 * The arguments of `docker run` for one service, without its name and image. `place` says where what stands before the colon of a
 * volume is: a path of the host, or the name of a volume.
 */
export function runArguments(o: ComposeService, place: (source: string) => string): string[] {
  return [
    '--read-only',
    `--user=${o.user}`,
    ...o.cap_drop.map((name) => `--cap-drop=${name}`),
    ...o.security_opt.map((option) => `--security-opt=${option}`),
    ...o.tmpfs.map((mount) => `--tmpfs=${mount}`),
    ...Object.entries(o.ulimits).map(([name, limit]) => `--ulimit=${name}=${limit}`),
    ...o.volumes.map((volume) => {
      const colon = volume.indexOf(':')
      return `--volume=${place(volume.slice(0, colon))}${volume.slice(colon)}`
    }),
  ]
}
