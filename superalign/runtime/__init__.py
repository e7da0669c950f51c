"""Where roles and services live: in this process or as actors on Ray, behind one interface."""
