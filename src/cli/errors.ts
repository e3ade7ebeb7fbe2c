// The one error that ends with exit code 2: the command line itself is wrong. All else that fails ends with 1.

export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** Said already, one line for each object that failed; only the exit code is left to be set. */
export class ReportedError extends Error {
  constructor() {
    super("reported");
    this.name = "ReportedError";
  }
}
