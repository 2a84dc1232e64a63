/** Counts since the server started; every room that counts holds the one object. */

export class Metrics {
  submitted = 0;
  finished = 0;
  connections = 0;
}
