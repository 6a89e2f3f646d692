// `sign` and `unsign`: what is sent, and that the exit status tells the truth about every outcome.
import { expect } from 'chai'
import { FakeApi, problem, type Answer, type Script } from './support/fake-api.ts'
import { image, published, request, DIGEST, GUN } from './support/resources.ts'
import { TOKEN, Workplace, type Ran, type RunOptions } from './support/run-cli.ts'

const IMAGE = `${GUN}:1.4`

describe('cli sign', () => {
  let api: FakeApi
  let place: Workplace

  async function sign(
    script: Script,
    argv: readonly string[] = ['sign', IMAGE],
    options: RunOptions = {},
  ): Promise<Ran> {
    api = await new FakeApi(script).start()
    place = new Workplace(api.url)
    return place.run(argv, options)
  }

  afterEach(async () => {
    await api.stop()
    place.remove()
  })

  const finished =
    (body: object): Script =>
    () => ({ status: 201, body })
  /** Answers in turn; the last one repeats. */
  const inTurn =
    (...answers: Answer[]): Script =>
    (_request, count) =>
      answers[Math.min(count, answers.length) - 1]!

  describe('what is sent', () => {
    it('is the normalised reference, with the token and an idempotency key', async () => {
      await sign(finished(request('published', [published()])), ['sign', `${IMAGE}@${DIGEST}`, '--description', 'why'])
      const [sent] = api.requests
      expect(sent?.method).to.equal('POST')
      expect(sent?.path).to.equal('/v1/signing-requests')
      expect(sent?.body).to.deep.equal({ kind: 'sign', images: [`${IMAGE}@${DIGEST}`], description: 'why' })
      expect(sent?.headers.authorization).to.equal(`Bearer ${TOKEN}`)
      expect(sent?.headers['idempotency-key']).to.match(/^[A-Za-z0-9._:-]{1,128}$/)
    })

    it('names the kind unsign', async () => {
      await sign(finished(request('published', [published()])), ['unsign', IMAGE])
      expect(api.requests[0]?.body).to.deep.include({ kind: 'unsign' })
    })

    it('repeats a submission whose answer was lost under the same key', async () => {
      const ran = await sign((_r, count) =>
        count < 3 ? { cut: true } : { status: 201, body: request('published', [published()]) },
      )
      expect(ran.exit).to.equal(0)
      expect(api.requests).to.have.length(3)
      expect(new Set(api.requests.map((each) => each.headers['idempotency-key'])).size).to.equal(1)
    })

    it('uses the key that was named', async () => {
      await sign(finished(request('published', [published()])), ['sign', IMAGE, '--idempotency-key', 'build-17'])
      expect(api.requests[0]?.headers['idempotency-key']).to.equal('build-17')
    })

    it('does not repeat what the server refused for good', async () => {
      const ran = await sign(() => problem(422, 'IMAGE_REFERENCE_INVALID'))
      expect(api.requests).to.have.length(1)
      expect(ran.exit).to.equal(1)
    })

    it('reads images from a list and from standard input', async () => {
      const two = request('published', [published(), published({ reference: `${GUN}:1.5`, tag: '1.5' })])
      const ran = await sign(finished(two), ['sign', '--from', '-'], {
        stdin: `# release\n\n${IMAGE}\r\n  ${GUN}:1.5\n`,
      })
      expect(ran.exit).to.equal(0)
      expect(api.requests[0]?.body).to.deep.include({ images: [IMAGE, `${GUN}:1.5`] })
    })
  })

  it('--each asks for each image by itself; the file of a build names digests', async () => {
    const body = request('partial', [
      published(),
      image('failed', { reference: `${GUN}:1.5`, tag: '1.5', error: { code: 'IMAGE_NOT_FOUND', detail: 'x' } }),
    ])
    const stdin = JSON.stringify({ app: { 'image.name': `${IMAGE},${GUN}:1.5`, 'containerimage.digest': DIGEST } })
    const ran = await sign(finished(body), ['sign', '--from', '-', '--each'], { stdin })
    expect([ran.exit, ran.codes()]).to.deep.equal([1, ['IMAGE_NOT_FOUND']])
    const images = [`${IMAGE}@${DIGEST}`, `${GUN}:1.5@${DIGEST}`]
    expect(api.requests[0]?.body).to.deep.equal({ kind: 'sign', images, mode: 'each' })
  })

  describe('promote', () => {
    const source = 'staging.example.com/team/app:rc1'

    it('names the source, and the digest where it does', async () => {
      const body = request('published', [published()])
      await sign(finished(body), ['promote', source, IMAGE])
      expect(api.requests[0]?.body).to.deep.equal({ kind: 'sign', images: [IMAGE], promotedFrom: source })
      await api.stop()
      await sign(finished(body), ['promote', `${source}@${DIGEST}`, IMAGE, '--each'])
      expect(api.requests[0]?.body).to.deep.equal({
        kind: 'sign',
        images: [`${IMAGE}@${DIGEST}`],
        mode: 'each',
        promotedFrom: `${source}@${DIGEST}`,
      })
    })

    it('1: published at another digest than the source names', async () => {
      const other = `sha256:${'0'.repeat(64)}`
      const ran = await sign(finished(request('published', [published()])), ['promote', `${source}@${other}`, IMAGE])
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['SERVER_ANSWER_MALFORMED']])
    })
  })

  describe('exit status', () => {
    it('0: published', async () => {
      const ran = await sign(
        inTurn({ status: 201, body: request('submitted') }, { body: request('published', [published()]) }),
      )
      expect(ran.exit).to.equal(0)
      expect(ran.stdout).to.include(DIGEST).and.to.include('targets/releases v7')
      expect(ran.codes()).to.deep.equal([])
    })

    const ends: Readonly<Record<string, { body: object; exit: number; codes: string[] }>> = {
      'failed with a code': {
        body: request('failed', [image('failed', { error: { code: 'DIGEST_MISMATCH', detail: 'other digest' } })]),
        exit: 1,
        codes: ['DIGEST_MISMATCH'],
      },
      partial: {
        body: request('partial', [published(), image('failed', { error: { code: 'LIMIT_TAG', detail: 'x' } })]),
        exit: 1,
        codes: ['LIMIT_TAG'],
      },
      expired: { body: request('expired'), exit: 1, codes: ['REQUEST_NOT_PUBLISHED'] },
      withdrawn: { body: request('withdrawn'), exit: 1, codes: ['REQUEST_NOT_PUBLISHED'] },
      denied: {
        body: request('denied', [
          image('denied', { decision: { outcome: 'deny', reasons: [{ rule: 'r', code: 'C' }] } }),
        ]),
        exit: 3,
        codes: ['REQUEST_DENIED'],
      },
      'published, but an image is not': {
        body: request('published', [image('failed')]),
        exit: 1,
        codes: ['REQUEST_NOT_PUBLISHED'],
      },
      'a state that is not known here': {
        body: { ...request('published', [image('sublimated')]), status: 'sublimated' },
        exit: 1,
        codes: ['REQUEST_NOT_PUBLISHED'],
      },
    }
    for (const [name, { body, exit, codes }] of Object.entries(ends)) {
      it(`${exit}: ${name}`, async () => {
        const ran = await sign(finished(body))
        expect(ran.exit).to.equal(exit)
        expect(ran.codes()).to.deep.equal(codes)
      })
      it(`${exit}: ${name}, with --json`, async () => {
        const ran = await sign(finished(body), ['sign', IMAGE, '--json'])
        expect(ran.exit).to.equal(exit)
        expect(ran.json()).to.deep.equal(body)
      })
    }

    it('3: refused with 403', async () => {
      const ran = await sign(() => problem(403, 'NOT_PERMITTED'), ['sign', IMAGE, '--json'])
      expect(ran.exit).to.equal(3)
      expect(ran.codes()).to.deep.equal(['NOT_PERMITTED'])
      expect(ran.json()).to.deep.include({ code: 'NOT_PERMITTED', status: 403, next: 'Do this next.' })
    })

    it('1: published, but another tag or digest than asked for', async () => {
      for (const other of [published({ tag: '1.5' }), published({ digest: `sha256:${'00'.repeat(32)}` })]) {
        const ran = await sign(finished(request('published', [other])), ['sign', `${IMAGE}@${DIGEST}`])
        expect(ran.exit).to.equal(1)
        expect(ran.codes()).to.deep.equal(['SERVER_ANSWER_MALFORMED'])
        await api.stop()
        place.remove()
      }
    })

    const usage: Readonly<Record<string, readonly [string[], string]>> = {
      'no image': [['sign'], 'IMAGE_LIST_EMPTY'],
      'an image without a tag': [['sign', GUN], 'IMAGE_TAG_MISSING'],
      'a malformed image': [['sign', 'registry.example.com//app:1'], 'IMAGE_REFERENCE_INVALID'],
      'a list that is not there': [['sign', '--from', '/nonexistent/list'], 'IMAGE_LIST_UNREADABLE'],
      'a promotion to nowhere': [['promote', IMAGE], 'USAGE_INVALID'],
      'a promotion to another digest': [
        ['promote', `${IMAGE}@${DIGEST}`, `${GUN}:2@sha256:${'0'.repeat(64)}`],
        'USAGE_INVALID',
      ],
      'a promotion from no tag': [['promote', GUN, IMAGE], 'IMAGE_TAG_MISSING'],
      'each of what is to be unsigned': [['unsign', IMAGE, '--each'], 'USAGE_INVALID'],
      'a timeout without unit': [['sign', IMAGE, '--timeout', '10'], 'DURATION_INVALID'],
      'an unknown option': [['sign', IMAGE, '--frobnicate'], 'USAGE_INVALID'],
      'an unknown command': [['sing', IMAGE], 'USAGE_INVALID'],
      'a key that no header can carry': [['sign', IMAGE, '--idempotency-key', 'a b'], 'USAGE_INVALID'],
    }
    for (const [name, [argv, code]] of Object.entries(usage)) {
      it(`2: ${name}; nothing is sent`, async () => {
        const ran = await sign(() => ({ status: 500 }), [...argv, '--json'])
        expect(ran.exit).to.equal(2)
        expect(ran.codes()).to.deep.equal([code])
        expect(ran.json()).to.deep.include({ code })
        expect(api.requests).to.deep.equal([])
      })
    }
  })

  describe('an unfinished request', () => {
    it('is left at once with --no-wait: exit 4, the ID alone on standard output', async () => {
      const ran = await sign(finished(request('submitted')), ['sign', IMAGE, '--no-wait'])
      expect(ran.exit).to.equal(4)
      expect(ran.stdout).to.equal('req-01j9\n')
      expect(ran.codes()).to.deep.equal(['REQUEST_NOT_FINISHED'])
      expect(api.requests).to.have.length(1)
    })

    it('is no such thing when it ended already', async () => {
      const ran = await sign(finished(request('published', [published()])), ['sign', IMAGE, '--no-wait'])
      expect(ran.exit).to.equal(0)
    })

    it('is left when the time is over', async () => {
      let clock = 0
      const ran = await sign(finished(request('publishing')), ['sign', IMAGE, '--timeout', '5s', '--json'], {
        now: () => new Date((clock += 1000)),
      })
      expect(ran.exit).to.equal(4)
      expect(ran.json()).to.deep.include({ id: 'req-01j9', isFinal: false })
    })

    it('is left on Ctrl-C, with its ID', async () => {
      const keyboard = new AbortController()
      const ran = await sign(
        (_r, count) =>
          count === 1
            ? { status: 201, body: request('submitted') }
            : {
                before: () => {
                  keyboard.abort()
                },
                cut: true,
              },
        ['sign', IMAGE],
        { interrupted: keyboard.signal },
      )
      expect(ran.exit).to.equal(4)
      expect(ran.stdout).to.equal('req-01j9\n')
      expect(ran.codes()).to.deep.equal(['REQUEST_NOT_FINISHED'])
    })

    it('may have been submitted when Ctrl-C comes first: exit 4, and how to find it', async () => {
      const keyboard = new AbortController()
      const ran = await sign(
        () => ({
          before: () => {
            keyboard.abort()
          },
          cut: true,
        }),
        ['sign', IMAGE, '--idempotency-key', 'build-17'],
        {
          interrupted: keyboard.signal,
        },
      )
      expect(ran.exit).to.equal(4)
      expect(ran.stderr).to.include('--idempotency-key build-17')
    })

    it('is followed through restarts of the server', async () => {
      const ran = await sign(
        inTurn(
          { status: 201, body: request('submitted') },
          { cut: true },
          problem(503, 'SHUTTING_DOWN', { retry: true }),
          { status: 502, body: '<html>bad gateway</html>' },
          { body: request('published', [published()]) },
        ),
      )
      expect(ran.exit).to.equal(0)
    })

    it('whose state the server refuses to tell ends with the refusal, and the ID is still said', async () => {
      const ran = await sign(inTurn({ status: 201, body: request('submitted') }, problem(401, 'TOKEN_INVALID')))
      expect(ran.exit).to.equal(1)
      expect(ran.codes()).to.deep.equal(['TOKEN_INVALID'])
      expect(ran.stderr).to.include('countersign request show req-01j9')
    })

    it('tells each change of state once, on standard error', async () => {
      const ran = await sign(
        inTurn(
          { status: 201, body: request('submitted') },
          { body: request('intended') },
          { body: request('intended') },
          { body: request('published', [published()]) },
        ),
        ['sign', IMAGE, '--json'],
      )
      const told = ran.stderr.split('\n').map((line) => line.split(': ').at(-1))
      expect(told).to.deep.equal(['submitted', 'intended', 'published', ''])
    })
  })
})
