// Verifies images as docker does, from the pinned root. An outage is never told as "not signed".
import { CodedError, type Gun, signersOf, targetsOf } from '@countersign/tuf'
import { findTarget } from '@countersign/tuf'
import {
  type ImageReference,
  parseImageReference,
  requireTag,
  type TaggedReference,
} from '../domain/image-reference.ts'
import { failureOf } from '../domain/port-faults.ts'
import { notPermitted, type Principal, requireGrant } from '../domain/principal.ts'
import { sha256Of } from '../domain/signed-entry.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { inspection } from './inspect.ts'
import { type LoadedRepository, loadRepository } from './load-repository.ts'
import { publishedFiles } from './published-files.ts'
import type { PublishedMetadata, TrustInspection, Verdict, Verification, VerificationService } from './services.ts'

export class Verifications implements VerificationService {
  readonly #dependencies: ServiceDependencies

  constructor(dependencies: ServiceDependencies) {
    this.#dependencies = dependencies
  }

  async verify(
    principal: Principal,
    images: readonly string[],
    options: { readonly compareRegistry?: boolean } = {},
  ): Promise<readonly Verification[]> {
    const references = images.map((text) => requireTag(parseImageReference(text)))
    for (const reference of references) this.#requireRead(principal, reference)
    // Each repository once, in the order of first mention.
    const loads = new Map<string, Promise<LoadedRepository>>()
    const results: Verification[] = []
    for (const reference of references) {
      const load = loads.get(reference.gun) ?? loadRepository(this.#dependencies, reference.gun)
      loads.set(reference.gun, load)
      results.push(await this.#verifyImage(reference, load, options.compareRegistry === true))
    }
    return results
  }

  async inspect(principal: Principal, image: string): Promise<readonly TrustInspection[]> {
    const reference = parseImageReference(image)
    this.#requireRead(principal, reference)
    const { trusted } = await loadRepository(this.#dependencies, reference.gun)
    return [inspection(trusted, image, reference.tag)]
  }

  async published(principal: Principal, gun: Gun): Promise<PublishedMetadata> {
    this.#requireRead(principal, { gun })
    const { trusted } = await loadRepository(this.#dependencies, gun)
    return { gun, verifiedAt: trusted.verifiedAt, files: await publishedFiles(this.#dependencies, trusted) }
  }

  async #verifyImage(
    reference: TaggedReference,
    load: Promise<LoadedRepository>,
    compareRegistry: boolean,
  ): Promise<Verification> {
    const common = { reference: reference.text, gun: reference.gun, tag: reference.tag }
    try {
      const { trusted } = await load
      const found = findTarget(trusted, reference.tag)
      const digest = found === undefined ? undefined : sha256Of(found.meta)
      if (found === undefined || digest === undefined) return { ...common, verdict: 'not-signed', signers: [] }
      const served = compareRegistry ? (await this.#dependencies.resolver.resolve(reference)).sha256 : digest
      const roleVersion = targetsOf(trusted, found.role)?.metadata.version
      return {
        ...common,
        verdict: verdictOf(reference, digest, served),
        digest,
        length: found.meta.length,
        role: found.role,
        ...(roleVersion === undefined ? {} : { roleVersion }),
        signers: signersOf(trusted, reference.tag, digest).map(signerName).sort(),
      }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      return { ...common, verdict: 'unknown', signers: [], error: failureOf(error) }
    }
  }

  #requireRead(principal: Principal, { gun }: Pick<ImageReference, 'gun'>): void {
    requireGrant(principal, 'read', gun)
    if (this.#dependencies.repositories.find(gun) === undefined) throw notPermitted('read', gun)
  }
}

function verdictOf({ digest }: TaggedReference, signed: string, served: string): Verdict {
  return (digest === undefined || digest === signed) && served === signed ? 'signed' : 'digest-differs'
}

function signerName(role: string): string {
  return role.replace(/^targets\//, '')
}
