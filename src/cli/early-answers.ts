// What is asked so often that nothing is loaded for it: the version, and Docker's question to a plugin, which comes before each of its runs.
import { programVersion } from '../version.ts'
import { ownArguments, pluginMetadata } from './docker-plugin/protocol.ts'

/** The line that answers these arguments; undefined where a program has to. */
export function earlyAnswer(argv: readonly string[]): string | undefined {
  const [only, ...others] = ownArguments(argv)
  return pluginMetadata(argv) ?? (only === '--version' && others.length === 0 ? programVersion() : undefined)
}
