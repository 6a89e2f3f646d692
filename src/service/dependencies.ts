// The ports that the services drive, and their settings.
import type { FileCache } from '@countersign/tuf'
import type {
  Clock,
  FreezeMemory,
  IdentifierSource,
  ImageResolver,
  KeyHolder,
  Observer,
  Pause,
  PushedTags,
  RandomSource,
  RepositoryStore,
  RequestStore,
  SeenVersions,
  SignedTags,
  TokenStore,
  TokenVerifier,
  TrustPublisher,
  TrustServerDirectory,
  TrustSource,
} from '../domain/ports.ts'
import type { PolicySource } from '../domain/policy.ts'
import type { PushSource } from '../domain/push-event.ts'
import type { RenewalSettings } from '../domain/renewal.ts'
import type { TrustFeeds } from '../domain/trust-feed.ts'
import type { PublicationStep } from './steps.ts'

/** How signed tags are compared with their registries. */
export interface DriftSettings {
  /** How often each tag is asked for, in milliseconds; 0: never. */
  readonly everyMs: number
  /** How long a tag may stand for something else before that is told, in milliseconds: its signature may be on the way. */
  readonly graceMs: number
}

/** Which registries tell of pushes, and what becomes of it. */
export interface PushSettings {
  readonly sources: readonly PushSource[]
  /** Claims of events that may wait to be looked at. */
  readonly queue: number
  /** How long a pushed tag may be unsigned before that is told, in milliseconds. */
  readonly alertAfterMs: number
}

export interface ServiceSettings {
  /** The delegation of new repositories is `targets/<signerName>`. */
  readonly signerName: string
  /** How often somebody is asked in a row before the images wait, and at least how often they are tried against rivals. */
  readonly attempts: number
  /** How long an image waits for a key holder, trust server or registry that is out of reach, in milliseconds; then it fails. */
  readonly patienceMs: number
  /** How long an image is tried again while others publish first, in milliseconds; then it fails. */
  readonly contentionMs: number
  readonly renewal: RenewalSettings
  /** The first pause between two attempts, in milliseconds; it doubles, and half of it is random. */
  readonly backoffMs: number
  readonly drift: DriftSettings
  readonly signOnPush: PushSettings
  readonly maxImages: number
  /** The user ID that the daemon runs as; absent where the system has none. A key holder under the same one is warned of. */
  readonly uid?: number
}

export interface ServiceDependencies {
  readonly source: TrustSource
  readonly publisher: TrustPublisher
  readonly trustServers: TrustServerDirectory
  readonly feeds: TrustFeeds
  readonly resolver: ImageResolver
  readonly keyHolder: KeyHolder
  readonly requests: RequestStore
  readonly repositories: RepositoryStore
  readonly tokens: TokenStore
  readonly verifier: TokenVerifier
  readonly policies: PolicySource
  readonly clock: Clock
  readonly identifiers: IdentifierSource
  readonly pause: Pause
  readonly random: RandomSource
  readonly observer: Observer
  readonly settings: ServiceSettings
  /** Absent: nobody wants to be told of freezes. */
  readonly freezes?: FreezeMemory
  readonly seen: SeenVersions
  readonly signedTags: SignedTags
  readonly pushedTags: PushedTags
  /** The secrets with which a source may present itself now. @throws where they cannot be read */
  readonly pushSecrets: (source: string) => readonly string[]
  /** Parsed metadata, by content. Absent: everything is parsed anew. */
  readonly cache?: FileCache
  /** For tests: hears each step of a publication when it is done. */
  readonly onStep?: (step: PublicationStep) => void
}
