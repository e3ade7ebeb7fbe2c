// Whose frames the engine copies to the capture ring: flags in the rows of ports and domains, set by what captures want together.

/** Whose frames are captured. */
export interface CaptureMarks {
  readonly ports: ReadonlySet<string>;
  readonly domains: ReadonlySet<string>;
  readonly underlay: boolean;
}

export const NO_MARKS: CaptureMarks = { ports: new Set(), domains: new Set(), underlay: false };
