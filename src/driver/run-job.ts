/** Public-key work as core asks for it, done by the runtime. */
import type { PublicKeyJobs } from '../carrier/host.ts';
import type { Job, JobResult } from '../core/jobs.ts';

/** Does one job; secrets in it are wiped. Throws what the runtime throws. */
export function runJob(jobs: PublicKeyJobs, job: Job): JobResult | Promise<JobResult> {
  switch (job.kind) {
    case 'sign':
      return jobs.sign(job.identity, job.message);
    case 'verify':
      return jobs.verify(job.publicKey, job.message, job.signature);
    case 'createExchange': {
      const made = jobs.createExchange(job.random);
      job.random.fill(0);
      return made;
    }
    case 'agree':
      return jobs.agree(job.exchange, job.peerKey, job.info);
    case 'forget':
      jobs.forget(job.handle);
      return undefined;
  }
}
