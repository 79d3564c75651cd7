package recorder

import "github.com/tunrec/tunrec/capfile"

// compress makes slabs ready for the writer until there are no more.
func (r *Recorder) compress() {
	z := capfile.NewCompressor(r.WindowBytes)
	for {
		buf := <-r.pool.buffers
		s, ok := <-r.work
		if !ok {
			r.pool.buffers <- buf
			return
		}
		s.encoded = buf
		s.err = z.Compress(&s.Chunk, r.method(), buf)
		r.unwritten.Add(1)
		s.ready <- struct{}{}
	}
}

// method is how the next slab is compressed: as asked for, unless slabs pile
// up faster than they can be compressed; then at the fastest level, and at
// last not at all, before packets are dropped. Where it is the disk that they
// wait for, compressing less would make it worse.
func (r *Recorder) method() capfile.Method {
	waiting := len(r.work)
	switch {
	case r.Patient || r.unwritten.Load() >= spareBuffers:
		return r.Method
	case waiting >= r.Slabs*3/4:
		return capfile.Stored
	case waiting >= r.Slabs/2:
		return min(r.Method, capfile.Fastest)
	}
	return r.Method
}
