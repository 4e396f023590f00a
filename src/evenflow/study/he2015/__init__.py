"""He et al. 2015: deep rectifier networks under Xavier's initialisation and under their own."""
