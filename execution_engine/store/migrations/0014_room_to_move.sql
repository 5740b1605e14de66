-- An execution moves several times within a second, and its neighbours on the page with it. Half a page free lets
-- all of them move without leaving it, so that no index has to be told (HOT); at 70 two in five had to leave.
ALTER TABLE execution SET (fillfactor = 50);
