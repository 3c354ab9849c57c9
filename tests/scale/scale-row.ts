/** What one measurement of the scale is: how much there is of everything, and the figures. */

export interface Scale {
  readonly tenants: number;
  readonly events: number;
  /** How often what is quick is done. */
  readonly samples: number;
  /** In a fleet. */
  readonly proxies: number;
  /** Where logs are made, and found again by a later run that wants the same size. */
  readonly folder: string;
}

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: 'us' | 'ms' | 's' | 'MB' | '/s' | '%';
  /** At most this; what is not said has no goal. */
  readonly goal?: number;
}

export interface ScaleRow {
  readonly key: string;
  readonly title: string;
  /** Whether it reads a log of many events, one of as many as there are tenants, or none. */
  readonly usesLog: 'whole' | 'tenants' | 'none';
  measure(scale: Scale): Promise<readonly Figure[]>;
}
