// The codes of the configuration and of secret files. They are said at start, on standard error; none of them travels over HTTP.
import { CodedError } from '@countersign/tuf'

export const CONFIG_ERROR_CODES = [
  'CONFIG_UNREADABLE',
  'CONFIG_INVALID',
  'POLICY_INVALID',
  'SECRET_FILE_UNREADABLE',
  'SECRET_FILE_EXPOSED',
  'SECRET_FILE_MALFORMED',
  'FIRST_START_REFUSED',
  'DATA_FOLDER_EXPOSED',
  'KEY_HOLDER_NOT_STARTED',
  'TRUST_SERVER_NOT_STARTED',
] as const

export type ConfigErrorCode = (typeof CONFIG_ERROR_CODES)[number]

/** One thing wrong with the configuration, and where. Never holds the value: it may be a secret in the wrong place. */
export interface ConfigFault {
  /** `trustServers[0].url`, or `environment COUNTERSIGN_HTTP__LISTEN`, or empty for the whole text. */
  readonly path: string
  readonly message: string
}

/** A configuration or secret file that the program refuses to start with. */
export class ConfigError extends CodedError<ConfigErrorCode> {
  readonly faults: readonly ConfigFault[]

  constructor(code: ConfigErrorCode, message: string, faults: readonly ConfigFault[] = [], options?: ErrorOptions) {
    super(code, message, { faults: faults.length }, options)
    this.faults = faults
  }
}
