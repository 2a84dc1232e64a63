/** Someone who may leave before the answer is there. */
export interface Caller {
  readonly closed: boolean;
}
