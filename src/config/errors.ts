// A setting that can't be. Where it stood matters to the exit code: a wrong command line is wrong usage.
import { WeftError } from "../errors.ts";

export class ConfigError extends WeftError {
  readonly onCommandLine: boolean;

  constructor(message: string, onCommandLine: boolean) {
    super("INVALID_ARGUMENT", message);
    this.name = "ConfigError";
    this.onCommandLine = onCommandLine;
  }
}
