// `docker countersign`: how the Docker CLI starts a plugin, and the one question that it asks first.
// Source: docker/cli v28.2.2 cli-plugins/manager (metadata.go, candidate.go): `docker-countersign countersign ARGS...`.
import { programVersion } from '../version.ts'

/** The argument with which Docker asks for the metadata of a plugin. */
const METADATA_ARGUMENT = 'docker-cli-plugin-metadata'

/** The answer to Docker's question, if these arguments ask it. */
export function pluginMetadata(argv: readonly string[]): string | undefined {
  if (argv[0] !== METADATA_ARGUMENT) return undefined
  return JSON.stringify({
    SchemaVersion: '0.1.0',
    Vendor: 'Countersign',
    Version: programVersion(),
    ShortDescription: 'Sign and verify image tags with Countersign',
  })
}

/** The arguments without the plugin's own name, which Docker puts first; no command of ours has that name. */
export function withoutPluginName(argv: readonly string[]): readonly string[] {
  return argv[0] === 'countersign' ? argv.slice(1) : argv
}
