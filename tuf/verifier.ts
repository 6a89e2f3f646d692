// The client workflow as a machine that is pulled: next() names a file, accept() takes it. No I/O, no clock.
import { TufError } from './errors.ts'
import type { FileRequest, Steps } from './file-request.ts'
import { TrustedRepository, type VerifierOptions } from './trusted.ts'

/** Once it has thrown it stays failed: every further call throws the same error. */
export class RepositoryVerifier {
  private readonly steps: Steps<TrustedRepository>
  private request: FileRequest | undefined
  private trusted: TrustedRepository | undefined
  private failure: unknown

  /** @throws TufError where a pinned root is not valid in itself: CERTIFICATE_*, SIGNATURE_*, and what parsing throws */
  constructor(options: VerifierOptions) {
    this.steps = TrustedRepository.verify(options)
    this.advance(() => this.steps.next())
  }

  /** The file needed now; undefined: the verification is complete. */
  next(): FileRequest | undefined {
    this.refuseFailed()
    return this.request
  }

  /**
   * Takes the file that `next` names.
   * @param bytes must not change afterwards; undefined: the server has no such file
   * @throws TufError with the reason why the repository is refused
   */
  accept(bytes: Uint8Array | undefined): void {
    this.refuseFailed()
    if (this.request === undefined) throw new TufError('VERIFICATION_ORDER', 'No file was asked for')
    this.advance(() => this.steps.next(bytes))
  }

  /** @throws TufError VERIFICATION_ORDER where files are still needed, or the reason of the refusal */
  result(): TrustedRepository {
    this.refuseFailed()
    if (this.trusted === undefined) throw new TufError('VERIFICATION_ORDER', 'The verification is not complete')
    return this.trusted
  }

  private advance(step: () => IteratorResult<FileRequest, TrustedRepository>): void {
    try {
      const result = step()
      this.request = result.done === true ? undefined : result.value
      this.trusted = result.done === true ? result.value : undefined
    } catch (error) {
      this.failure = error
      throw error
    }
  }

  private refuseFailed(): void {
    if (this.failure !== undefined) throw this.failure as Error
  }
}

/** Runs the machine over files in memory. @throws TufError as `RepositoryVerifier` */
export function verifyFiles(files: ReadonlyMap<string, Uint8Array>, options: VerifierOptions): TrustedRepository {
  const verifier = new RepositoryVerifier(options)
  for (let request = verifier.next(); request !== undefined; request = verifier.next()) {
    verifier.accept(files.get(request.fileName))
  }
  return verifier.result()
}
