// `push`: what docker is called with, and that nothing but a signed image ends with 0. Docker is a script here, which says what a test
// wants; test/peer/docker-plugin.test.ts has the real one.
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { digestOfManifestPush, digestOfPush, onlyRepoDigest } from '../../src/cli/docker-plugin/pushed-digest.ts'
import { parseImageReference, requireTag } from '../../src/domain/image-reference.ts'
import { FakeApi, problem, type Script } from './support/fake-api.ts'
import { DIGEST, GUN, image, published, request } from './support/resources.ts'
import { Workplace, type Ran, type RunOptions } from './support/run-cli.ts'

const IMAGE = `${GUN}:1.4`
const PUSHED = `1.4: digest: ${DIGEST} size: 528`
const OTHER = 'sha256:' + 'cd'.repeat(32)

/** What the script of a docker prints to standard output, by the command that it was called with, and how it ends. */
interface FakeDocker {
  readonly push?: string
  readonly manifest?: string
  readonly inspect?: string
  readonly status?: number
  /** Push says nothing the first time: as on a terminal, where nobody can read what it said. */
  readonly isSilentFirst?: boolean
}

describe('cli push', () => {
  let api: FakeApi
  let place: Workplace

  const publishing: Script = () => ({ status: 201, body: request('published', [published()]) })

  async function push(
    script: Script,
    docker: FakeDocker,
    argv: readonly string[] = ['push', IMAGE],
    options: RunOptions = {},
  ): Promise<Ran> {
    api = await new FakeApi(script).start()
    place = new Workplace(api.url)
    const { push: pushed = PUSHED, manifest = '', inspect = '[]', status = 0, isSilentFirst = false } = docker
    const program = place.file(
      'docker',
      `#!/bin/sh
echo "$* trust=$DOCKER_CONTENT_TRUST own=$COUNTERSIGN_SERVER$COUNTERSIGN_TOKEN_FILE$DOCKER_CLI_PLUGIN_SOCKET" >> '${place.path('calls')}'
case " $* " in
  *' manifest push '*) echo '${manifest}' ;;
  *' push '*) ${isSilentFirst ? `if [ -e '${place.path('silent')}' ]; then echo '${pushed}'; fi; : > '${place.path('silent')}'` : `echo '${pushed}'`} ;;
  *' image inspect '*) echo '${inspect}' ;;
esac
exit ${status}
`,
      0o700,
    )
    const env = { DOCKER_CONTENT_TRUST: '1', DOCKER_CLI_PLUGIN_SOCKET: 'x', ...options.env }
    const asPlugin = argv.includes('countersign') ? { DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND: program } : {}
    return place.run(argv, { ...options, env: { PATH: place.folder, ...asPlugin, ...env } })
  }

  afterEach(async () => {
    await api.stop()
    place.remove()
  })

  function calls(): string[] {
    return readFileSync(place.path('calls'), 'utf8').trimEnd().split('\n')
  }
  function wasCalled(): boolean {
    try {
      return calls().length > 0
    } catch {
      return false
    }
  }

  describe('what is pushed and signed', () => {
    it('is the digest that docker pushed, without content trust and without our secrets', async () => {
      const ran = await push(publishing, {}, ['push', IMAGE, '--description', 'why'])
      expect([ran.exit, ran.codes()]).to.deep.equal([0, []])
      expect(calls()).to.deep.equal([`push ${IMAGE} trust=0 own=`])
      expect(api.requests.map(({ body }) => body)).to.deep.equal([
        { kind: 'sign', images: [`${IMAGE}@${DIGEST}`], description: 'why' },
      ])
      expect(ran.stderr).to.include(PUSHED)
      expect(ran.stdout).to.include(DIGEST).and.not.to.include('size: 528')
    })

    it("is pushed by the docker that called, with docker's own options", async () => {
      const ran = await push(publishing, {}, ['--config', '/d', '-c', 'build', 'countersign', 'push', IMAGE])
      expect(ran.exit).to.equal(0)
      expect(calls()).to.deep.equal([`--config /d -c build push ${IMAGE} trust=0 own=`])
    })

    it('is one platform, or a list of several', async () => {
      expect((await push(publishing, {}, ['push', IMAGE, '--platform', 'linux/arm64'])).exit).to.equal(0)
      expect(calls()).to.deep.equal([`push --platform linux/arm64 ${IMAGE} trust=0 own=`])
      await api.stop()
      place.remove()
      expect((await push(publishing, { manifest: DIGEST }, ['push', IMAGE, '--manifest'])).exit).to.equal(0)
      expect(calls()).to.deep.equal([`manifest push ${IMAGE} trust=0 own=`])
    })

    it('is told with --json in one document', async () => {
      const ran = await push(publishing, {}, ['push', IMAGE, '--json'])
      const { result, ...rest } = ran.json() as { result: { id: string } }
      expect(rest).to.deep.equal({ image: IMAGE, digest: DIGEST })
      expect(result.id).to.equal('req-01j9')
    })

    it('is asked of the engine where docker writes to the terminal', async () => {
      const ran = await push(publishing, { isSilentFirst: true, inspect: `["${GUN}@${DIGEST}"]` }, undefined, {
        isTTY: true,
      })
      expect(ran.exit).to.equal(0)
      expect(calls().map((line) => line.split(' ')[0])).to.deep.equal(['push', 'image'])
    })

    it('is asked of docker once more where the engine knows several digests', async () => {
      const inspect = `["${GUN}@${DIGEST}","${GUN}@${OTHER}"]`
      const ran = await push(publishing, { isSilentFirst: true, inspect }, undefined, { isTTY: true })
      expect(ran.exit).to.equal(0)
      expect(calls().map((line) => line.split(' ')[0])).to.deep.equal(['push', 'image', 'push'])
      expect(api.requests[0]?.body).to.deep.include({ images: [`${IMAGE}@${DIGEST}`] })
    })
  })

  describe('pushed, but not signed', () => {
    const ends: Readonly<
      Record<string, { script: Script; exit: number; code: string; next: string; argv?: string[] }>
    > = {
      'the server is down': {
        script: () => ({ cut: true }),
        exit: 1,
        code: 'SERVER_UNREACHABLE',
        next: `When this is settled: countersign sign ${IMAGE}@${DIGEST}`,
      },
      'the registry serves something else': {
        script: () => problem(409, 'DIGEST_MISMATCH'),
        exit: 1,
        code: 'DIGEST_MISMATCH',
        next: 'When this is settled',
      },
      'the token has no grant': {
        script: () => problem(403, 'NOT_PERMITTED'),
        exit: 3,
        code: 'NOT_PERMITTED',
        next: 'When it is permitted',
      },
      'the policy denies it': {
        script: () => ({
          status: 201,
          body: request('denied', [
            image('denied', { decision: { outcome: 'deny', reasons: [{ rule: 'r', code: 'C' }] } }),
          ]),
        }),
        exit: 3,
        code: 'REQUEST_DENIED',
        next: 'When it is permitted',
      },
      'it waits for approvals': {
        script: () => ({ status: 201, body: request('awaiting-approval') }),
        exit: 4,
        code: 'REQUEST_NOT_FINISHED',
        next: 'Nothing needs to be pushed again.',
        argv: ['--no-wait'],
      },
    }
    for (const [name, { script, exit, code, next, argv = [] }] of Object.entries(ends)) {
      it(`${exit}: ${name}`, async () => {
        const ran = await push(script, {}, ['push', IMAGE, ...argv])
        expect(ran.exit).to.equal(exit)
        expect(ran.codes()).to.deep.equal([code, 'IMAGE_PUSHED_UNSIGNED'])
        expect(ran.stderr).to.include(`${IMAGE}@${DIGEST} IS PUSHED, BUT NOT SIGNED.`).and.to.include(next)
      })
    }

    it('1: docker does not tell what it pushed', async () => {
      const ran = await push(publishing, { push: 'nothing of use' })
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['PUSHED_DIGEST_UNKNOWN']])
      expect(api.requests).to.deep.equal([])
    })

    it('is one document with --json, too', async () => {
      const ran = await push(() => problem(403, 'NOT_PERMITTED'), {}, ['push', IMAGE, '--json'])
      expect(ran.json()).to.deep.include({ image: IMAGE, digest: DIGEST })
      expect(ran.json()).to.have.nested.property('result.code', 'NOT_PERMITTED')
    })
  })

  describe('nothing pushed', () => {
    it('1: docker fails', async () => {
      const ran = await push(publishing, { status: 1 })
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['DOCKER_PUSH_FAILED']])
      expect(api.requests).to.deep.equal([])
    })

    it('1: there is no docker', async () => {
      const ran = await push(publishing, {}, undefined, { env: { PATH: '/nonexistent' } })
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['DOCKER_NOT_FOUND']])
    })

    it('1: Ctrl-C while docker pushes', async () => {
      const ran = await push(publishing, { status: 130 }, undefined, { interrupted: AbortSignal.abort() })
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['INTERRUPTED']])
    })

    const faults: Readonly<Record<string, { argv: string[]; env?: Record<string, string>; code: string }>> = {
      'no tag': { argv: ['push', GUN], code: 'IMAGE_TAG_MISSING' },
      'a digest': { argv: ['push', `${IMAGE}@${DIGEST}`], code: 'USAGE_INVALID' },
      'a platform of a list': {
        argv: ['push', IMAGE, '--manifest', '--platform', 'linux/arm64'],
        code: 'USAGE_INVALID',
      },
      'a registry without TLS, which the engine knows': { argv: ['push', IMAGE, '--insecure'], code: 'USAGE_INVALID' },
      'no server': { argv: ['push', IMAGE], env: { COUNTERSIGN_SERVER: '' }, code: 'SERVER_NOT_CONFIGURED' },
      'no token': { argv: ['push', IMAGE], env: { COUNTERSIGN_TOKEN_FILE: '' }, code: 'TOKEN_NOT_CONFIGURED' },
      'a receipt of something unfinished': {
        argv: ['push', IMAGE, '--no-wait', '--receipt', 'x'],
        code: 'USAGE_INVALID',
      },
    }
    for (const [name, { argv, env = {}, code }] of Object.entries(faults)) {
      it(`2: ${name}`, async () => {
        const ran = await push(publishing, {}, argv, { env })
        expect([ran.exit, ran.codes(), wasCalled()]).to.deep.equal([2, [code], false])
      })
    }
  })

  describe('the digest in what docker says', () => {
    const reference = requireTag(parseImageReference('alpine:3.20'))
    const hex = DIGEST.slice('sha256:'.length)

    it('stands in the last line of the tag', () => {
      const lines = [
        'Pushed',
        `3.20: digest: ${OTHER} size: 1`,
        `3.20: digest: ${DIGEST} size: 528 `,
        `x: digest: ${OTHER} size: 1`,
      ]
      expect(digestOfPush(lines, '3.20')).to.equal(hex)
      for (const line of [
        `3.20: digest: ${DIGEST}`,
        `13.20: digest: ${DIGEST} size: 1`,
        `3.20: digest: sha512:ab size: 1`,
      ]) {
        expect(digestOfPush([line], '3.20'), line).to.equal(undefined)
      }
    })

    it('is the line of a list', () => {
      expect(digestOfManifestPush(['Pushed ref', DIGEST])).to.equal(hex)
      expect(digestOfManifestPush([`digest ${DIGEST}`])).to.equal(undefined)
    })

    it('is the only one that the engine knows for the repository', () => {
      expect(onlyRepoDigest(`["alpine@${DIGEST}","registry.example.com/alpine@${OTHER}"]`, reference)).to.equal(hex)
      for (const line of ['', 'null', '[7]', `["alpine@${DIGEST}","alpine@${OTHER}"]`, '["alpine:3.20"]', '["%@"]']) {
        expect(onlyRepoDigest(line, reference), line).to.equal(undefined)
      }
    })
  })
})
