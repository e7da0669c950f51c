"""Weight sync from learner to generation engine, behind one interface; knows nothing of vLLM."""
