-- create_contact: the contact is made in the transaction of the action's outcome.
GRANT INSERT ON contact TO wayfarer_worker;
